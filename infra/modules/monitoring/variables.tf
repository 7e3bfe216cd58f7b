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
