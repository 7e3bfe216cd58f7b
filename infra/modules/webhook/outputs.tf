output "url" {
  description = "Its address, as Cloud Run gives it."
  value       = module.service.url
}
