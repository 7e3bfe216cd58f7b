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

variable "timeout_seconds" {
  description = "Of a run."
  type        = number
}

variable "callers" {
  description = "Who may call it: a name of ours -> the account as IAM writes it."
  type        = map(string)
}
