output "instance" {
  description = "Name of the instance, once its tables are there."
  value       = google_bigtable_instance.this.name
  depends_on  = [google_bigtable_gc_policy.this]
}
