variable "instance" {
  description = "Name of the instance."
  type        = string
}

variable "zone" {
  description = "Of its only cluster."
  type        = string
}

variable "nodes" {
  description = "At least one."
  type        = number
}

variable "storage_type" {
  description = "SSD or HDD."
  type        = string
}

variable "labels" {
  description = "On the instance."
  type        = map(string)
}

variable "tables" {
  description = "table -> its column family, and what is collected."
  type        = map(object({ family = string, gc_rules = string }))
}

variable "table_rights" {
  description = "Who reads or writes which table, as which role."
  type        = map(object({ service = string, table = string, role = string }))
}

variable "members" {
  description = "service -> its account as IAM writes it."
  type        = map(string)
}

variable "backup_hours" {
  description = "How long the daily backup of each table is kept, 0: none is made."
  type        = number

  validation {
    condition     = var.backup_hours == 0 || (var.backup_hours >= 72 && var.backup_hours <= 2160)
    error_message = "A backup is kept 72 to 2160 hours, or none is made (0)."
  }
}

variable "deletion_protection" {
  description = "Whether instance and tables refuse to be destroyed."
  type        = bool
}
