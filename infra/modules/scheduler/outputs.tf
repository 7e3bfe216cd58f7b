output "name" {
  description = "Of the job."
  value       = google_cloud_scheduler_job.this.name
}
