output "url" {
  description = "Its address."
  value       = module.service.url
}
