# The profile `lite`: one small machine that runs the embedded mode under systemd. Nobody reaches it from outside but through
# Google's tunnel (gcloud compute ssh --tunnel-through-iap); Telegram is polled, so no port is open.
resource "google_compute_network" "this" {
  name                    = "crypto-signals-lite"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "this" {
  name                     = "lite"
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = "10.20.0.0/28"
  private_ip_google_access = true
}

resource "google_compute_firewall" "tunnel" {
  name          = "crypto-signals-lite-ssh-by-tunnel"
  network       = google_compute_network.this.id
  direction     = "INGRESS"
  source_ranges = ["35.235.240.0/20"] # where Google's tunnel ends; it asks IAM who may pass

  allow {
    protocol = "tcp"
    ports    = ["22"]
  }
}

resource "google_service_account" "this" {
  account_id   = "signals-lite"
  display_name = "signals-lite"
  description  = "Runs the embedded mode of the Crypto Signal Tracker"
}

resource "google_project_iam_member" "telemetry" {
  for_each = toset(["roles/logging.logWriter", "roles/monitoring.metricWriter"])
  project  = var.project
  role     = each.value
  member   = google_service_account.this.member
}

resource "google_secret_manager_secret" "token" {
  secret_id = "telegram-bot-token"
  labels    = var.labels

  replication {
    auto {}
  }
}

resource "google_secret_manager_secret_version" "token" {
  secret                 = google_secret_manager_secret.token.id
  secret_data_wo         = var.telegram_bot_token
  secret_data_wo_version = 1
  deletion_policy        = "ABANDON"
}

resource "google_secret_manager_secret_iam_member" "token" {
  secret_id = google_secret_manager_secret.token.id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this.member
}

# All state. It outlives the machine, which may be made anew at any time.
resource "google_compute_disk" "data" {
  name   = "crypto-signals-data"
  type   = var.size.data_disk_type
  size   = var.size.data_disk_gib
  zone   = var.zone
  labels = var.labels

  lifecycle {
    prevent_destroy = true
  }
}

resource "google_compute_resource_policy" "snapshots" {
  name   = "crypto-signals-daily"
  region = var.region

  snapshot_schedule_policy {
    schedule {
      daily_schedule {
        days_in_cycle = 1
        start_time    = "02:00"
      }
    }

    retention_policy {
      max_retention_days    = var.size.snapshots_kept_days
      on_source_disk_delete = "KEEP_AUTO_SNAPSHOTS"
    }

    snapshot_properties {
      labels = var.labels
    }
  }
}

resource "google_compute_disk_resource_policy_attachment" "snapshots" {
  name = google_compute_resource_policy.snapshots.name
  disk = google_compute_disk.data.name
  zone = var.zone
}

# Off the machine and out of its zone. The machine may add backups and read them; it can neither overwrite nor delete one.
resource "google_storage_bucket" "backups" {
  name                        = "${var.project}-crypto-signals-backups"
  location                    = var.backup_location
  labels                      = var.labels
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  lifecycle_rule {
    condition {
      age = var.size.backups_kept_days
    }

    action {
      type = "Delete"
    }
  }
}

resource "google_storage_bucket_iam_member" "backups" {
  for_each = toset(["roles/storage.objectCreator", "roles/storage.objectViewer"])
  bucket   = google_storage_bucket.backups.name
  role     = each.value
  member   = google_service_account.this.member
}

resource "google_compute_instance" "this" {
  name                      = "crypto-signals"
  machine_type              = var.size.machine_type
  zone                      = var.zone
  labels                    = var.labels
  allow_stopping_for_update = true
  deletion_protection       = var.deletion_protection

  boot_disk {
    initialize_params {
      image = "debian-cloud/debian-12"
      size  = var.size.boot_disk_gib
      type  = "pd-standard"
    }
  }

  attached_disk {
    source      = google_compute_disk.data.id
    device_name = "crypto-signals-data"
  }

  network_interface {
    subnetwork = google_compute_subnetwork.this.id

    # The way out, to exchanges and Telegram; the firewall lets nothing in.
    access_config {
      network_tier = "STANDARD"
    }
  }

  shielded_instance_config {
    enable_secure_boot = true
  }

  service_account {
    email  = google_service_account.this.email
    scopes = ["cloud-platform"]
  }

  metadata = {
    enable-oslogin         = "TRUE"
    block-project-ssh-keys = "TRUE"
  }

  metadata_startup_script = templatefile("${path.module}/startup.sh.tftpl", {
    source_url       = var.source_url
    source_ref       = var.source_ref
    telegram_chat_id = var.telegram_chat_id
    backup_target    = "gs://${google_storage_bucket.backups.name}"
    project          = var.project
    secret           = google_secret_manager_secret.token.secret_id
  })

  depends_on = [google_secret_manager_secret_iam_member.token, google_secret_manager_secret_version.token]
}

# A machine that is gone tells nobody. What its services see, they tell on Telegram.
resource "google_monitoring_notification_channel" "email" {
  display_name = "Operator"
  type         = "email"
  labels       = { email_address = var.alert_email }
}

resource "google_monitoring_alert_policy" "gone" {
  display_name          = "The machine is silent"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]
  user_labels           = var.labels

  conditions {
    display_name = "No sign of life for ten minutes"

    condition_absent {
      filter   = "resource.type = \"gce_instance\" AND resource.label.instance_id = \"${google_compute_instance.this.instance_id}\" AND metric.type = \"compute.googleapis.com/instance/uptime\""
      duration = "600s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_RATE"
      }
    }
  }

  documentation {
    content   = "`gcloud compute instances describe crypto-signals`; the data disk and its backups are apart from it."
    mime_type = "text/markdown"
  }
}
