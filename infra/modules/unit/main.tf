# What runs always: a worker pool, or by one variable a Cloud Run service whose instance is never without its core.
resource "google_cloud_run_v2_worker_pool" "this" {
  count               = var.kind == "pool" ? 1 : 0
  name                = var.name
  location            = var.region
  labels              = var.labels
  launch_stage        = "BETA" # this provider version knows pools as beta; they are generally available since
  deletion_protection = var.deletion_protection

  scaling {
    manual_instance_count = var.instances
  }

  template {
    service_account = var.account_email
    labels          = var.labels

    containers {
      image = var.image

      resources {
        limits = { cpu = tostring(var.cpu), memory = "${var.memory_mib}Mi" }
      }

      dynamic "env" {
        for_each = var.environment

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets

        content {
          name  = "${env.key}_FILE"
          value = "/secrets/${env.value}/value"
        }
      }

      dynamic "volume_mounts" {
        for_each = toset(values(var.secrets))

        content {
          name       = volume_mounts.value
          mount_path = "/secrets/${volume_mounts.value}"
        }
      }
    }

    dynamic "volumes" {
      for_each = toset(values(var.secrets))

      content {
        name = volumes.value

        secret {
          secret = volumes.value

          items {
            path    = "value"
            version = "latest"
          }
        }
      }
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"

      network_interfaces {
        network    = var.network
        subnetwork = var.subnetwork
      }
    }
  }

  # Builds move these (docker/release/deploy.sh).
  lifecycle {
    ignore_changes = [client, client_version, instance_splits, template[0].containers[0].image, template[0].revision]
  }
}

module "service" {
  source = "../service"
  count  = var.kind == "service" ? 1 : 0

  name                  = var.name
  region                = var.region
  labels                = var.labels
  image                 = var.image
  account_email         = var.account_email
  environment           = var.environment
  secrets               = var.secrets
  network               = var.network
  subnetwork            = var.subnetwork
  deletion_protection   = var.deletion_protection
  cpu                   = var.cpu
  memory_mib            = var.memory_mib
  port                  = var.health_port
  ready_path            = "/ready"
  instances_min         = var.instances
  instances_max         = max(1, var.instances)
  always_on             = true
  timeout_seconds       = 10
  requests_per_instance = 10
}
