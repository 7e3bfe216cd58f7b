variable "name" {
  description = "Of the unit."
  type        = string
}

variable "region" {
  description = "Where it runs."
  type        = string
}

variable "labels" {
  description = "On the unit."
  type        = map(string)
}

variable "image" {
  description = "What it starts with; afterwards builds deploy by digest and Terraform leaves the image alone."
  type        = string
}

variable "account_email" {
  description = "As whom it runs."
  type        = string
}

variable "environment" {
  description = "variable -> value."
  type        = map(string)
}

variable "secrets" {
  description = "variable -> name in Secret Manager; mounted as a file that <variable>_FILE names."
  type        = map(string)
}

variable "network" {
  description = "Id of the network, the way to Redis; null: none."
  type        = string
  default     = null
}

variable "subnetwork" {
  description = "Id of the subnetwork."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether it refuses to be destroyed."
  type        = bool
}

variable "args" {
  description = "The command behind the image's entry point; null: the image's own."
  type        = list(string)
  default     = null
}

variable "ingress" {
  description = "From where it can be reached at all."
  type        = string
  default     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
}

variable "port" {
  description = "Where the container listens."
  type        = number
  default     = 8080
}

variable "ready_path" {
  description = "Answers 200 once it is warm; null: an open port will do."
  type        = string
  default     = null
}

variable "cpu" {
  description = "Cores."
  type        = number
}

variable "memory_mib" {
  description = "Memory; files written count against it."
  type        = number
}

variable "instances_min" {
  description = "Instances that are always there."
  type        = number
}

variable "instances_max" {
  description = "Instances at most."
  type        = number
}

variable "always_on" {
  description = "Whether it has its cores between requests, too."
  type        = bool
}

variable "timeout_seconds" {
  description = "Of a request."
  type        = number
}

variable "requests_per_instance" {
  description = "At a time."
  type        = number
}
