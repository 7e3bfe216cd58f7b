resource "google_artifact_registry_repository" "this" {
  repository_id = var.repository
  description   = "Images of the services"
  location      = var.region
  format        = "DOCKER"
  labels        = var.labels

  # Every pushed image is scanned, which is billed per image (docs/cost.md); the build scans once more before it pushes.
  vulnerability_scanning_config {
    enablement_config = var.scanning ? "INHERITED" : "DISABLED"
  }

  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"

    most_recent_versions {
      keep_count = var.images_kept
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "2592000s"
    }
  }
}

resource "google_artifact_registry_repository_iam_member" "writer" {
  location   = google_artifact_registry_repository.this.location
  repository = google_artifact_registry_repository.this.name
  role       = "roles/artifactregistry.writer"
  member     = var.writer
}
