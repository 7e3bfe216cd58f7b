variable "secrets" {
  description = "Names in Secret Manager."
  type        = set(string)
}

variable "secrets_made" {
  description = "Those whose value Terraform knows."
  type        = set(string)
}

variable "made_values" {
  description = "Their values."
  type        = map(string)
  sensitive   = true
}

variable "first_values" {
  description = "secret -> value of the first version; an empty line where none is given."
  type        = map(string)
  sensitive   = true
  ephemeral   = true
}

variable "secret_readers" {
  description = "Who reads which secret."
  type        = map(object({ service = string, secret = string }))
}

variable "members" {
  description = "service -> its account as IAM writes it."
  type        = map(string)
}

variable "labels" {
  description = "On the secrets."
  type        = map(string)
}

variable "deletion_protection" {
  description = "Whether a secret refuses to be destroyed."
  type        = bool
}
