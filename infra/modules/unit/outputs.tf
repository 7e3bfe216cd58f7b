output "kind" {
  description = "What it became: `pool` or `service`."
  value       = var.kind
}
