output "labels" {
  description = "On everything that takes labels."
  value       = { application = "crypto-signal-tracker", environment = var.environment }
}

output "topics" {
  description = "topic -> how long acknowledged messages are kept; null: not at all."
  value       = local.topics
}

output "dead_letter_topics" {
  description = "dead-letter topic -> the subscription it belongs to."
  value       = local.dead_letter_topics
}

output "subscriptions" {
  description = "Pulled subscriptions with their dead letters."
  value       = local.subscriptions
}

output "dead_letter_subscriptions" {
  description = "What keeps dead letters until somebody has looked at them."
  value       = local.dead_letter_subscriptions
}

output "push_subscriptions" {
  description = "Subscriptions whose messages are posted to a service."
  value       = local.push_subscriptions
}

output "tables" {
  description = "table -> its column family and what is collected."
  value       = local.tables
}

output "bigtable" {
  description = "The instance."
  value       = merge(var.sizing.bigtable, { instance = local.bigtable_instance, zone = "${var.region}-b" })
}

output "redis" {
  description = "The cache."
  value       = var.sizing.redis
}

output "accounts" {
  description = "service -> description of its account."
  value       = local.accounts
}

output "publishers" {
  description = "Who publishes to which topic."
  value       = local.publishers
}

output "subscribers" {
  description = "Who pulls which subscription."
  value       = local.subscribers
}

output "table_rights" {
  description = "Who reads or writes which table, as which role."
  value       = local.table_rights
}

output "secrets" {
  description = "Names in Secret Manager."
  value       = local.secrets
}

output "secrets_made" {
  description = "Those of them whose value Terraform puts in."
  value       = setintersection(local.secrets_made, local.secrets)
}

output "secret_readers" {
  description = "Who reads which secret."
  value       = local.secret_readers
}

output "units" {
  description = "What runs always, with its environment."
  value       = local.units

  precondition {
    condition     = length(setsubtract(keys(var.settings), var.topology.services[*].name)) == 0
    error_message = "infra/settings.yaml has services without rights in infra/topology.yaml: ${join(", ", setsubtract(keys(var.settings), var.topology.services[*].name))}."
  }
  precondition {
    condition = alltrue(flatten([
      for service, values in local.environment : [for name in keys(values) : contains(var.settings[service].variables, name)]
    ]))
    error_message = "infra/modules/plan/units.tf sets what no service reads: ${join(", ", flatten([
      for service, values in local.environment :
      [for name in keys(values) : "${service} ${name}" if !contains(var.settings[service].variables, name)]
    ]))}."
  }
}

output "webhook" {
  description = "The only public endpoint."
  value       = local.webhook
}

output "function" {
  description = "run_signal_generation, and when it is ticked."
  value       = local.function
}

output "function_name" {
  description = "Cloud Run's name of run_signal_generation."
  value       = local.function_name
}

output "deployments" {
  description = "unit:image:kind of everything that a build deploys, as docker/release/deploy.sh takes it."
  value = join(" ", concat(
    [for name, unit in local.units : "${name}:${unit.service}:${unit.kind == "pool" ? "pool" : "private"}"],
    ["notifier-webhook:notifier:public", "${local.function_name}:macro-engine:private"],
  ))
}

output "silences" {
  description = "topic -> seconds without a message until somebody is told."
  value       = local.silences

  precondition {
    condition     = length(local.venue_topics) == length(distinct([for venue in var.venues : split("-", venue)[0]]))
    error_message = "A venue has no topic raw-tick-data-<venue> in infra/topology.yaml: ${join(", ", var.venues)}."
  }
}
