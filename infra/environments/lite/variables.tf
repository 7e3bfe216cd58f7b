variable "project" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Where the machine stands. Bybit and Binance refuse addresses of the United States."
  type        = string
  default     = "europe-west1"
}

variable "source_url" {
  description = "Address of the source repository."
  type        = string
}

variable "source_ref" {
  description = "Tag, branch or commit that runs."
  type        = string
}

variable "telegram_bot_token" {
  description = "From TF_VAR_telegram_bot_token, never from a file; needed at the first apply only."
  type        = string
  default     = "\n"
  sensitive   = true
  ephemeral   = true
}

variable "telegram_chat_id" {
  description = "Chat of config entries without an id."
  type        = string
  default     = ""
}

variable "backup_location" {
  description = "Of the backups."
  type        = string
  default     = "EU"
}

variable "deletion_protection" {
  description = "Whether the machine refuses to be destroyed."
  type        = bool
  default     = false
}

variable "alert_email" {
  description = "Who is told by mail."
  type        = string
}

variable "billing_account" {
  description = "Id of the billing account for the budget; null: no budget."
  type        = string
  default     = null
}

variable "budget" {
  description = "Of a month; docs/cost.md says what is to be expected."
  type        = number
  default     = 25
}

variable "budget_currency" {
  description = "The billing account's."
  type        = string
  default     = "USD"
}
