# Telegram's door, and the only public one: whoever knocks without the secret is answered 401 and nothing is read.
module "service" {
  source = "../service"

  name                  = var.name
  region                = var.region
  labels                = var.labels
  image                 = var.image
  args                  = ["python", "-m", "services.notifier.webhook"]
  account_email         = var.account_email
  environment           = var.environment
  secrets               = var.secrets
  network               = var.network
  subnetwork            = var.subnetwork
  deletion_protection   = var.deletion_protection
  ingress               = "INGRESS_TRAFFIC_ALL"
  cpu                   = var.cpu
  memory_mib            = var.memory_mib
  instances_min         = var.instances_min
  instances_max         = var.instances_max
  always_on             = false
  timeout_seconds       = 60
  requests_per_instance = 20
}

resource "google_cloud_run_v2_service_iam_member" "public" {
  name     = module.service.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}
