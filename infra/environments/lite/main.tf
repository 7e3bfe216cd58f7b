# One machine for one person: everything in one SQLite file on a disk with daily snapshots and a daily backup elsewhere.
resource "google_project_service" "this" {
  for_each           = toset(["billingbudgets", "compute", "iam", "logging", "monitoring", "secretmanager", "storage"])
  project            = var.project
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false
}

data "google_project" "this" {
  project_id = var.project
}

module "vm" {
  source = "../../modules/vm"

  project             = var.project
  region              = var.region
  zone                = "${var.region}-b"
  labels              = { application = "crypto-signal-tracker", environment = "lite" }
  size                = yamldecode(file("${path.module}/../../sizing.yaml")).lite
  source_url          = var.source_url
  source_ref          = var.source_ref
  telegram_bot_token  = var.telegram_bot_token
  telegram_chat_id    = var.telegram_chat_id
  backup_location     = var.backup_location
  alert_email         = var.alert_email
  deletion_protection = var.deletion_protection
  depends_on          = [google_project_service.this]
}

module "budget" {
  source = "../../modules/budget"
  count  = var.billing_account == null ? 0 : 1

  project         = var.project
  project_number  = data.google_project.this.number
  billing_account = var.billing_account
  budget          = var.budget
  budget_currency = var.budget_currency
  channel         = module.vm.channel
}

output "machine" {
  description = "gcloud compute ssh <instance> --tunnel-through-iap"
  value       = module.vm
}
