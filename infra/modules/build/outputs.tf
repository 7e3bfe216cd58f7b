output "member" {
  description = "The builder's account as IAM writes it."
  value       = google_service_account.builder.member
}
