variable "project" {
  description = "Id of the environment's own project."
  type        = string
}

variable "region" {
  description = "Region of everything. Bybit and Binance refuse addresses of the United States."
  type        = string
  default     = "europe-west1"
}

variable "venues" {
  description = "Exchanges of config/tracker.yaml; each has an ingestion of its own."
  type        = list(string)
  default     = ["bybit-linear"]
}

variable "unit_kinds" {
  description = "unit -> `pool` or `service`; `pool` where not named."
  type        = map(string)
  default     = {}
}

variable "overrides" {
  description = "service -> environment variable -> value."
  type        = map(map(string))
  default     = {}
}

variable "secrets_unused" {
  description = "Secrets without a value, by variable."
  type        = set(string)
  default     = ["MACRO_DXY_URL", "MACRO_DOMINANCE_URL"]
}

variable "secret_values" {
  description = "secret -> its first value, e.g. telegram-bot-token; from TF_VAR_secret_values, never from a file."
  type        = map(string)
  default     = {}
  sensitive   = true
  ephemeral   = true
}

variable "telegram_chat_id" {
  description = "Chat of config entries without an id."
  type        = string
  default     = ""
}

variable "stopped" {
  description = "true: nothing runs and nothing is ticked; data, and Bigtable's bill, stay."
  type        = bool
  default     = false
}

variable "source_repository" {
  description = "Id of the repository connected to Cloud Build; null: builds are submitted by hand."
  type        = string
  default     = null
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
  default     = 700
}

variable "budget_currency" {
  description = "The billing account's."
  type        = string
  default     = "USD"
}
