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

variable "kind" {
  description = "`pool` or `service`."
  type        = string
  default     = "pool"

  validation {
    condition     = contains(["pool", "service"], var.kind)
    error_message = "kind must be pool or service, was \"${var.kind}\"."
  }
}

variable "cpu" {
  description = "Cores."
  type        = number
}

variable "memory_mib" {
  description = "Memory; files written count against it."
  type        = number
}

variable "instances" {
  description = "As many as run; 0 stops the unit."
  type        = number
}

variable "health_port" {
  description = "Where /ready is asked of a service; the image's HTTP_PORT."
  type        = number
  default     = 9090
}
