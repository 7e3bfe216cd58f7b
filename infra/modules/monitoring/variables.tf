variable "project" {
  description = "Id of the project."
  type        = string
}

variable "project_number" {
  description = "Its number."
  type        = string
}

variable "labels" {
  description = "On the policies."
  type        = map(string)
}

variable "alert_email" {
  description = "Who is told."
  type        = string
}

variable "silences" {
  description = "topic -> seconds without a message until somebody is told."
  type        = map(number)
}

variable "backlog_seconds_max" {
  description = "How old the oldest unacknowledged message may be."
  type        = number
  default     = 300
}

variable "errors_max" {
  description = "Error lines of all units in five minutes that are still borne."
  type        = number
  default     = 10
}

variable "billing_account" {
  description = "Id of the billing account; null: no budget (making one needs a role on the account)."
  type        = string
}

variable "budget" {
  description = "Of a month, whole units of the currency."
  type        = number
}

variable "budget_currency" {
  description = "The billing account's, e.g. USD."
  type        = string
}
