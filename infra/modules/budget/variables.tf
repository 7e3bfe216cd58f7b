variable "project" {
  description = "Id of the project."
  type        = string
}

variable "project_number" {
  description = "Its number."
  type        = string
}

variable "billing_account" {
  description = "Id of the billing account."
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

variable "channel" {
  description = "Id of the notification channel that is told."
  type        = string
}
