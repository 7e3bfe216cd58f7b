# Who builds and deploys, and when: cloudbuild.yaml runs on a push, by itself or after somebody has approved it.
resource "google_service_account" "builder" {
  account_id   = "builder"
  display_name = "builder"
  description  = "Builds, scans, pushes and deploys the images"
}

resource "google_project_iam_member" "builder" {
  for_each = toset(["roles/logging.logWriter", "roles/ondemandscanning.admin", "roles/run.developer"])
  project  = var.project
  role     = each.value
  member   = google_service_account.builder.member
}

# Reads what `gcloud builds submit` has uploaded, and no other bucket: the one with Terraform's state knows a password.
resource "google_project_iam_member" "uploads" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.builder.member

  condition {
    title      = "uploads of gcloud builds submit"
    expression = "resource.name.startsWith(\"projects/_/buckets/${var.project}_\")"
  }
}

# A revision runs as its service's account, so who deploys it must be allowed to name that account, and no other.
resource "google_service_account_iam_member" "acts_as" {
  for_each           = var.account_emails
  service_account_id = "projects/${var.project}/serviceAccounts/${each.value}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.builder.member
}

resource "google_cloudbuild_trigger" "deploy" {
  count           = var.repository == null ? 0 : 1
  name            = "deploy"
  description     = "Tests, builds and deploys what was pushed"
  location        = var.region
  filename        = "cloudbuild.yaml"
  service_account = google_service_account.builder.id

  repository_event_config {
    repository = var.repository

    push {
      branch = var.tag == null ? var.branch : null
      tag    = var.tag
    }
  }

  approval_config {
    approval_required = var.approval_required
  }

  substitutions = {
    _REGION     = var.region
    _REPOSITORY = var.registry
    _UNITS      = var.deployments
  }
}
