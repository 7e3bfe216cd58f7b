output "network" {
  description = "Id of the network."
  value       = google_compute_network.this.id
}

output "subnetwork" {
  description = "Id of the units' subnetwork."
  value       = google_compute_subnetwork.units.id
}
