output "name" {
  description = "Of the budget."
  value       = google_billing_budget.month.display_name
}
