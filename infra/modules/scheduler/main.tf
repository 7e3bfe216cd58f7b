# The tick goes through a topic: Pub/Sub posts it again until the function has answered 200.
resource "google_cloud_scheduler_job" "this" {
  name        = var.name
  description = "Ticks run_signal_generation"
  region      = var.region
  schedule    = var.schedule
  time_zone   = "Etc/UTC"
  paused      = var.paused

  pubsub_target {
    topic_name = var.topic_id
    data       = base64encode("run")
  }

  retry_config {
    retry_count = 3
  }
}
