# One account per service. What it may do with a topic, a table or a secret is granted there, by that entity's module.
resource "google_service_account" "service" {
  for_each     = var.accounts
  account_id   = each.key
  display_name = each.key
  description  = each.value
}

# Names who posts the scheduler's tick to the function; it can do nothing else.
resource "google_service_account" "caller" {
  account_id   = "macro-trigger"
  display_name = "macro-trigger"
  description  = "Calls run_signal_generation, and may do nothing else"
}

locals {
  project_roles = ["roles/logging.logWriter", "roles/monitoring.metricWriter"]
}

resource "google_project_iam_member" "telemetry" {
  for_each = { for pair in setproduct(keys(var.accounts), local.project_roles) : "${pair[0]} ${pair[1]}" => pair }
  project  = var.project
  role     = each.value[1]
  member   = google_service_account.service[each.value[0]].member
}
