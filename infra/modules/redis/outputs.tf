output "url" {
  description = "Address with password; a secret."
  value       = "redis://:${google_redis_instance.this.auth_string}@${google_redis_instance.this.host}:${google_redis_instance.this.port}/0"
  sensitive   = true
}
