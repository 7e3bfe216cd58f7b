variable "region" {
  description = "Of the server."
  type        = string
}

variable "network" {
  description = "Id of the network that may reach it."
  type        = string
}

variable "tier" {
  description = "BASIC or STANDARD_HA."
  type        = string
}

variable "memory_gib" {
  description = "At least 1."
  type        = number
}

variable "labels" {
  description = "On the server."
  type        = map(string)
}
