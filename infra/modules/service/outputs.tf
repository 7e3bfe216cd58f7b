output "name" {
  description = "Of the service."
  value       = google_cloud_run_v2_service.this.name
}

output "url" {
  description = "Its address."
  value       = google_cloud_run_v2_service.this.uri
}
