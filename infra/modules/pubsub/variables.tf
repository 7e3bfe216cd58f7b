variable "project_number" {
  description = "Number of the project; Pub/Sub's own account is named by it."
  type        = string
}

variable "labels" {
  description = "On topics and subscriptions."
  type        = map(string)
}

variable "topics" {
  description = "topic -> how long acknowledged messages are kept."
  type        = map(object({ retention_seconds = optional(number) }))
}

variable "dead_letter_topics" {
  description = "dead-letter topic -> the subscription it belongs to."
  type        = map(string)
}

variable "subscriptions" {
  description = "Pulled subscriptions."
  type = map(object({
    topic                = string
    ack_deadline_seconds = number
    retention_seconds    = number
    dead_letter_topic    = string
    broker_attempts      = number
  }))
}

variable "dead_letter_subscriptions" {
  description = "What keeps dead letters until somebody has looked at them."
  type        = map(object({ topic = string, ack_deadline_seconds = number, retention_seconds = number }))
}

variable "push_subscriptions" {
  description = "Subscriptions whose messages are posted to a service."
  type = map(object({
    topic                = string
    service              = string
    ack_deadline_seconds = number
    retention_seconds    = number
  }))
}

variable "push_endpoints" {
  description = "service -> the address that is posted to."
  type        = map(string)
}

variable "push_account_email" {
  description = "As whom it is posted."
  type        = string
}

variable "publishers" {
  description = "Who publishes to which topic."
  type        = map(object({ service = string, topic = string }))
}

variable "subscribers" {
  description = "Who pulls which subscription."
  type        = map(object({ service = string, subscription = string }))
}

variable "members" {
  description = "service -> its account as IAM writes it."
  type        = map(string)
}
