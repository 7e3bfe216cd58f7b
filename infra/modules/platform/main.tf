# The profile `full`, put together: everything that one environment needs, in a project of its own.
locals {
  apis = concat(
    [
      "artifactregistry", "bigtable", "bigtableadmin", "billingbudgets", "cloudbuild", "cloudscheduler", "compute", "iam",
      "logging", "monitoring", "ondemandscanning", "pubsub", "redis", "run", "secretmanager",
    ],
    var.scanning ? ["containerscanning"] : [],
  )
  # What a unit starts with until the first build has deployed it.
  pool_image    = "us-docker.pkg.dev/cloudrun/container/worker-pool"
  service_image = "us-docker.pkg.dev/cloudrun/container/hello"
  webhook_name  = "notifier-webhook"
  repository    = "crypto-signals"
}

data "google_project" "this" {
  project_id = var.project
}

resource "google_project_service" "this" {
  for_each           = toset(local.apis)
  project            = var.project
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

module "plan" {
  source = "../plan"

  environment      = var.environment
  project          = var.project
  region           = var.region
  topology         = yamldecode(file("${path.module}/../../topology.yaml"))
  settings         = yamldecode(file("${path.module}/../../settings.yaml"))
  sizing           = yamldecode(file("${path.module}/../../sizing.yaml")).full
  venues           = var.venues
  unit_kinds       = var.unit_kinds
  overrides        = var.overrides
  secrets_unused   = var.secrets_unused
  telegram_chat_id = var.telegram_chat_id
  webhook_url      = "https://${local.webhook_name}-${data.google_project.this.number}.${var.region}.run.app"
}

module "iam" {
  source = "../iam"

  project    = var.project
  accounts   = module.plan.accounts
  depends_on = [google_project_service.this]
}

module "network" {
  source = "../network"

  region     = var.region
  depends_on = [google_project_service.this]
}

module "redis" {
  source = "../redis"

  region     = var.region
  network    = module.network.network
  labels     = module.plan.labels
  tier       = module.plan.redis.tier
  memory_gib = module.plan.redis.memory_gib
  depends_on = [google_project_service.this]
}

module "secrets" {
  source = "../secrets"

  secrets             = module.plan.secrets
  secrets_made        = module.plan.secrets_made
  made_values         = { "redis-url" = module.redis.url }
  first_values        = var.secret_values
  secret_readers      = module.plan.secret_readers
  members             = module.iam.members
  labels              = module.plan.labels
  deletion_protection = var.deletion_protection
  depends_on          = [google_project_service.this]
}

module "bigtable" {
  source = "../bigtable"

  instance            = module.plan.bigtable.instance
  zone                = module.plan.bigtable.zone
  nodes               = module.plan.bigtable.nodes
  storage_type        = module.plan.bigtable.storage_type
  tables              = module.plan.tables
  table_rights        = module.plan.table_rights
  members             = module.iam.members
  labels              = module.plan.labels
  backup_hours        = var.backup_hours
  deletion_protection = var.deletion_protection
  depends_on          = [google_project_service.this]
}

module "pubsub" {
  source = "../pubsub"

  project_number            = data.google_project.this.number
  labels                    = module.plan.labels
  topics                    = module.plan.topics
  dead_letter_topics        = module.plan.dead_letter_topics
  subscriptions             = module.plan.subscriptions
  dead_letter_subscriptions = module.plan.dead_letter_subscriptions
  push_subscriptions        = module.plan.push_subscriptions
  push_endpoints            = { "macro-engine" = module.function.url }
  push_account_email        = module.iam.caller_email
  publishers                = module.plan.publishers
  subscribers               = module.plan.subscribers
  members                   = module.iam.members
  depends_on                = [google_project_service.this]
}

module "registry" {
  source = "../registry"

  repository  = local.repository
  region      = var.region
  labels      = module.plan.labels
  scanning    = var.scanning
  images_kept = var.images_kept
  writer      = module.build.member
  depends_on  = [google_project_service.this]
}

module "build" {
  source = "../build"

  project           = var.project
  region            = var.region
  account_emails    = module.iam.emails
  repository        = var.source_repository
  branch            = var.branch
  tag               = var.tag
  approval_required = var.approval_required
  registry          = local.repository
  deployments       = module.plan.deployments
  depends_on        = [google_project_service.this]
}

module "monitoring" {
  source = "../monitoring"

  labels      = module.plan.labels
  alert_email = var.alert_email
  silences    = module.plan.silences
  depends_on  = [google_project_service.this]
}

module "budget" {
  source = "../budget"
  count  = var.billing_account == null ? 0 : 1

  project         = var.project
  project_number  = data.google_project.this.number
  billing_account = var.billing_account
  budget          = var.budget
  budget_currency = var.budget_currency
  channel         = module.monitoring.channel
}
