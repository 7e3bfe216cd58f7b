output "channel" {
  description = "Id of the channel that is told."
  value       = google_monitoring_notification_channel.email.id
}
