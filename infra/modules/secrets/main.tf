resource "google_secret_manager_secret" "this" {
  for_each            = var.secrets
  secret_id           = each.key
  labels              = var.labels
  deletion_protection = var.deletion_protection

  replication {
    auto {}
  }
}

# The first version, so that a unit can start at all. Write-only: it stands neither in the state nor in a plan. Rotating adds
# a version by hand; it is mounted as `latest`, so no unit has to be deployed anew. Where none is given it is an empty line, which
# services take for missing: a text that could be guessed would open the webhook.
resource "google_secret_manager_secret_version" "first" {
  for_each               = setsubtract(var.secrets, var.secrets_made)
  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = lookup(var.first_values, each.key, "\n")
  secret_data_wo_version = 1
  deletion_policy        = "ABANDON"
}

# The cache's password is made by Redis, so Terraform's state knows it in any case: keep the state where few can read.
resource "google_secret_manager_secret_version" "made" {
  for_each    = var.secrets_made
  secret      = google_secret_manager_secret.this[each.key].id
  secret_data = var.made_values[each.key]
}

resource "google_secret_manager_secret_iam_member" "reader" {
  for_each  = var.secret_readers
  secret_id = google_secret_manager_secret.this[each.value.secret].id
  role      = "roles/secretmanager.secretAccessor"
  member    = var.members[each.value.service]
}
