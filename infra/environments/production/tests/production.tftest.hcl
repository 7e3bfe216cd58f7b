# The whole environment, planned with mocks (infra/check.sh): references, types, for_each, preconditions, cycles.
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

variables {
  project       = "signals-production"
  alert_email   = "operator@example.org"
  secret_values = { telegram-bot-token = "1:a", webhook-secret = "b" }
}

run "everything_is_planned" {
  command = plan
  variables {
    venues            = ["bybit-linear", "binance-spot"]
    unit_kinds        = { notifier = "service" }
    secrets_unused    = []
    source_repository = "projects/p/locations/europe-west1/connections/c/repositories/r"
    billing_account   = "000000-000000-000000"
  }

  assert {
    condition = output.platform.units == {
      ingestion              = "pool"
      ingestion-binance-spot = "pool"
      aggregator             = "pool"
      logic-engine           = "pool"
      notifier               = "service"
    }
    error_message = "A unit for each service and venue, of the kind that was asked for."
  }
  assert {
    condition     = output.platform.deployments == "aggregator:aggregator:pool ingestion:ingestion:pool ingestion-binance-spot:ingestion:pool logic-engine:logic-engine:pool notifier:notifier:private notifier-webhook:notifier:public run-signal-generation:macro-engine:private"
    error_message = "What a build deploys is what was made."
  }
  assert {
    condition     = output.platform.images == "europe-west1-docker.pkg.dev/signals-production/crypto-signals"
    error_message = "Where images are pushed."
  }
}
