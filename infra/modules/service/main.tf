# A Cloud Run service. Nobody may call it unless another module says so.
resource "google_cloud_run_v2_service" "this" {
  name                = var.name
  location            = var.region
  labels              = var.labels
  ingress             = var.ingress
  deletion_protection = var.deletion_protection

  template {
    service_account                  = var.account_email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = var.requests_per_instance
    labels                           = var.labels

    scaling {
      min_instance_count = var.instances_min
      max_instance_count = var.instances_max
    }

    containers {
      image = var.image
      args  = var.args

      ports {
        container_port = var.port
      }

      resources {
        limits            = { cpu = tostring(var.cpu), memory = "${var.memory_mib}Mi" }
        cpu_idle          = !var.always_on
        startup_cpu_boost = true
      }

      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 60

        dynamic "http_get" {
          for_each = var.ready_path == null ? [] : [var.ready_path]

          content {
            path = http_get.value
            port = var.port
          }
        }

        dynamic "tcp_socket" {
          for_each = var.ready_path == null ? [var.port] : []

          content {
            port = tcp_socket.value
          }
        }
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

    dynamic "vpc_access" {
      for_each = var.network == null ? [] : [var.network]

      content {
        egress = "PRIVATE_RANGES_ONLY"

        network_interfaces {
          network    = vpc_access.value
          subnetwork = var.subnetwork
        }
      }
    }
  }

  # Builds move these (docker/release/deploy.sh).
  lifecycle {
    ignore_changes = [client, client_version, traffic, template[0].containers[0].image, template[0].revision]
  }
}
