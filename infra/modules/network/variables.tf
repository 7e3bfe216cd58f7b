variable "region" {
  description = "Of the subnetwork."
  type        = string
}

variable "ip_cidr_range" {
  description = "Addresses of the units; a revision takes up to two per instance, and Cloud Run wants a /26 at least."
  type        = string
  default     = "10.10.0.0/24"
}
