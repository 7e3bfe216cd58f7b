# run_signal_generation behind the functions framework: a service that scales to zero. Whoever is not a caller is refused by
# IAM; it can be reached from outside because the build's smoke test comes from there.
module "service" {
  source = "../service"

  name                  = var.name
  region                = var.region
  labels                = var.labels
  image                 = var.image
  account_email         = var.account_email
  environment           = var.environment
  secrets               = var.secrets
  deletion_protection   = var.deletion_protection
  ingress               = "INGRESS_TRAFFIC_ALL"
  cpu                   = var.cpu
  memory_mib            = var.memory_mib
  instances_min         = 0
  instances_max         = 1
  always_on             = false
  timeout_seconds       = var.timeout_seconds
  requests_per_instance = 1
}

resource "google_cloud_run_v2_service_iam_member" "caller" {
  for_each = var.callers
  name     = module.service.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}
