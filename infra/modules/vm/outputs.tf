output "instance" {
  description = "Name of the machine."
  value       = google_compute_instance.this.name
}

output "backups" {
  description = "Where backups go."
  value       = google_storage_bucket.backups.url
}
