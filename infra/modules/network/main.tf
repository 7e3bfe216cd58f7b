# Only the way to Redis and to Google's own services; exchanges and Telegram are reached over Cloud Run's own way out.
resource "google_compute_network" "this" {
  name                    = "crypto-signals"
  auto_create_subnetworks = false
}

resource "google_compute_subnetwork" "units" {
  name                     = "units"
  network                  = google_compute_network.this.id
  region                   = var.region
  ip_cidr_range            = var.ip_cidr_range
  private_ip_google_access = true
}
