variable "project" {
  description = "Id of the project."
  type        = string
}

variable "accounts" {
  description = "service -> what its account is for."
  type        = map(string)
}
