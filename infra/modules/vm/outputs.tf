output "instance" {
  description = "Name of the machine."
  value       = google_compute_instance.this.name
}

output "backups" {
  description = "Where backups go."
  value       = google_storage_bucket.backups.url
}

output "channel" {
  description = "Id of the channel that is told."
  value       = google_monitoring_notification_channel.email.id
}
