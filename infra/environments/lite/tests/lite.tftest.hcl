mock_provider "google" {}

variables {
  project            = "signals-lite"
  source_url         = "https://example.org/crypto-signal-tracker.git"
  source_ref         = "v1.0.0"
  telegram_bot_token = "1:a"
}

run "everything_is_planned" {
  command = plan

  assert {
    condition     = output.machine.instance == "crypto-signals"
    error_message = "One machine."
  }
}
