mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}

variables {
  project            = "signals-lite"
  source_url         = "https://example.org/crypto-signal-tracker.git"
  source_ref         = "v1.0.0"
  telegram_bot_token = "1:a"
  alert_email        = "operator@example.org"
  billing_account    = "000000-000000-000000"
}

run "everything_is_planned" {
  command = plan

  assert {
    condition     = output.machine.instance == "crypto-signals"
    error_message = "One machine."
  }
}
