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
  description = "Id of the network, the way to Redis."
  type        = string
}

variable "subnetwork" {
  description = "Id of the subnetwork."
  type        = string
}

variable "deletion_protection" {
  description = "Whether it refuses to be destroyed."
  type        = bool
}

variable "cpu" {
  description = "Cores."
  type        = number
}

variable "memory_mib" {
  description = "Memory."
  type        = number
}

variable "instances_min" {
  description = "0: it starts when Telegram posts."
  type        = number
}

variable "instances_max" {
  description = "Instances at most."
  type        = number
}
