variable "name" {
  description = "Of the job."
  type        = string
}

variable "region" {
  description = "Of the job."
  type        = string
}

variable "schedule" {
  description = "Cron, in UTC."
  type        = string
}

variable "topic_id" {
  description = "Where the tick goes."
  type        = string
}

variable "paused" {
  description = "Whether it is silent."
  type        = bool
  default     = false
}
