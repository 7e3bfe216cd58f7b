# Losing it loses nothing (shared/cache/port.py): the smallest tier, one zone, no persistence.
resource "google_redis_instance" "this" {
  name               = "cache"
  display_name       = "Cache of the Crypto Signal Tracker"
  labels             = var.labels
  region             = var.region
  tier               = var.tier
  memory_size_gb     = var.memory_gib
  redis_version      = "REDIS_7_2"
  authorized_network = var.network
  auth_enabled       = true

  redis_configs = {
    # Full: the oldest goes, nobody is refused.
    maxmemory-policy = "allkeys-lru"
  }
}
