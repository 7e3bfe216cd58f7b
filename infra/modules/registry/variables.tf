variable "region" {
  description = "Of the repository."
  type        = string
}

variable "labels" {
  description = "On the repository."
  type        = map(string)
}

variable "scanning" {
  description = "Whether pushed images are scanned for known vulnerabilities."
  type        = bool
}

variable "images_kept" {
  description = "Newest versions of each image that are kept for a rollback, however old."
  type        = number
}

variable "writer" {
  description = "Who pushes, as IAM writes it."
  type        = string
}

variable "repository" {
  description = "Id of the repository."
  type        = string
}
