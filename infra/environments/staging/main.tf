# Every push to main is deployed here; it may be stopped and thrown away.
module "platform" {
  source = "../../modules/platform"

  environment         = "staging"
  backup_hours        = 0
  deletion_protection = false
  approval_required   = false

  project           = var.project
  region            = var.region
  venues            = var.venues
  unit_kinds        = var.unit_kinds
  overrides         = var.overrides
  secrets_unused    = var.secrets_unused
  secret_values     = var.secret_values
  telegram_chat_id  = var.telegram_chat_id
  stopped           = var.stopped
  source_repository = var.source_repository
  alert_email       = var.alert_email
  billing_account   = var.billing_account
  budget            = var.budget
  budget_currency   = var.budget_currency
}

output "platform" {
  description = "What is there now."
  value       = module.platform
}
