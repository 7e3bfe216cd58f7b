variable "project" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Where the machine stands."
  type        = string
}

variable "zone" {
  description = "Of machine and disk."
  type        = string
}

variable "labels" {
  description = "On everything that takes labels."
  type        = map(string)
}

variable "size" {
  description = "The profile `lite` of infra/sizing.yaml, decoded."
  type = object({
    machine_type        = string
    boot_disk_gib       = number
    data_disk_gib       = number
    data_disk_type      = string
    snapshots_kept_days = number
    backups_kept_days   = number
  })
}

variable "source_url" {
  description = "Address of the source repository, readable without a password."
  type        = string
}

variable "source_ref" {
  description = "Tag, branch or commit that runs; an upgrade is another one and a restart of the machine."
  type        = string
}

variable "telegram_bot_token" {
  description = "The bot's token; write-only."
  type        = string
  sensitive   = true
  ephemeral   = true
}

variable "telegram_chat_id" {
  description = "Chat of config entries without an id."
  type        = string
}

variable "backup_location" {
  description = "Of the backups: another place than the machine's, e.g. EU."
  type        = string
}

variable "deletion_protection" {
  description = "Whether the machine refuses to be destroyed; the data disk always does."
  type        = bool
}

variable "alert_email" {
  description = "Who is told when the machine is silent."
  type        = string
}
