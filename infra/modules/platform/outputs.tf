output "webhook_url" {
  description = "Where Telegram posts; the webhook registers it itself."
  value       = module.webhook.url
}

output "units" {
  description = "unit -> what it became."
  value       = { for name, unit in module.unit : name => unit.kind }
}

output "secrets" {
  description = "Secrets that are there; those Terraform does not know are rotated by `gcloud secrets versions add`."
  value       = module.secrets.ready
}

output "bigtable_instance" {
  description = "For `cst infra check`."
  value       = module.bigtable.instance
}

output "deployments" {
  description = "UNITS of docker/release/deploy.sh."
  value       = module.plan.deployments
}

output "alerts_to" {
  description = "Channel of the alerts."
  value       = module.monitoring.channel
}

output "schedule" {
  description = "Job that ticks the function."
  value       = module.scheduler.name
}

output "images" {
  description = "Where images are pushed."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${module.registry.repository}"
}

output "budgets" {
  description = "None without a billing account."
  value       = module.budget[*].name
}
