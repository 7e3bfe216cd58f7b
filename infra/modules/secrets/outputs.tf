output "ready" {
  description = "Names of the secrets, once they have a version and their readers."
  value       = keys(google_secret_manager_secret.this)
  depends_on = [
    google_secret_manager_secret_version.first,
    google_secret_manager_secret_version.made,
    google_secret_manager_secret_iam_member.reader,
  ]
}
