output "emails" {
  description = "service -> address of its account."
  value       = { for name, account in google_service_account.service : name => account.email }
}

output "members" {
  description = "service -> its account as IAM writes it."
  value       = { for name, account in google_service_account.service : name => account.member }
}

output "caller_email" {
  description = "Who calls the function."
  value       = google_service_account.caller.email
}

output "caller_member" {
  description = "The same as IAM writes it."
  value       = google_service_account.caller.member
}
