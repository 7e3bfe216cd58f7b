# `terraform test` in infra/modules/plan: no provider, no project, no network.
variables {
  environment = "staging"
  project     = "signals-staging"
  region      = "us-central1"
  topology    = yamldecode(file("../../topology.yaml"))
  settings    = yamldecode(file("../../settings.yaml"))
  sizing      = yamldecode(file("../../sizing.yaml")).full
  webhook_url = "https://notifier-webhook-123.us-central1.run.app"
}

run "every_subscription_has_a_dead_letter_topic_and_somebody_who_keeps_its_letters" {
  command = plan

  assert {
    condition     = alltrue([for item in values(output.subscriptions) : contains(keys(output.dead_letter_topics), item.dead_letter_topic)])
    error_message = "A subscription without dead-letter topic."
  }
  assert {
    condition     = toset(keys(output.dead_letter_subscriptions)) == toset(keys(output.dead_letter_topics))
    error_message = "Dead letters that nobody keeps."
  }
  assert {
    condition     = output.subscriptions["aggregator--raw-tick-data-bybit"].broker_attempts == 96
    error_message = "The broker must give up one attempt after the adapter, which says why."
  }
}

run "what_is_kept_shorter_than_the_broker_can_is_not_kept" {
  command = plan

  assert {
    condition     = output.topics["raw-tick-data-bybit"].retention_seconds == null
    error_message = "Six minutes are less than Pub/Sub's ten."
  }
  assert {
    condition     = output.topics["candles-closed"].retention_seconds == 86400
    error_message = "A day of candles."
  }
}

run "old_cells_go_by_age_or_by_number" {
  command = plan

  assert {
    condition     = output.tables["market-trades"].gc_rules == "{\"mode\":\"union\",\"rules\":[{\"max_version\":1},{\"max_age\":\"72h\"}]}"
    error_message = "The tape ends after 72 hours."
  }
  assert {
    condition     = output.tables["market-data-1m"].gc_rules == "{\"rules\":[{\"max_version\":10}]}"
    error_message = "Candles keep ten revisions, and are kept for ever."
  }
}

run "each_account_may_do_only_what_its_service_does" {
  command = plan

  assert {
    condition     = toset([for item in values(output.publishers) : item.service if item.topic == "candles-closed"]) == toset(["aggregator"])
    error_message = "Only the aggregator announces candles."
  }
  assert {
    condition     = output.table_rights["logic-engine market-data-1w"].role == "roles/bigtable.reader"
    error_message = "The logic engine reads candles and writes none."
  }
  assert {
    condition     = !contains(keys(output.table_rights), "ingestion market-data-1m") && output.table_rights["aggregator market-data-1m"].role == "roles/bigtable.user"
    error_message = "Candles are the aggregator's."
  }
  assert {
    condition     = toset([for item in values(output.secret_readers) : item.service if item.secret == "telegram-bot-token"]) == toset(["notifier", "notifier-webhook"])
    error_message = "The bot's token is the notifier's."
  }
  assert {
    condition     = output.webhook.secrets["WEBHOOK_SECRET"] == "webhook-secret" && !contains(keys(output.units["notifier"].secrets), "WEBHOOK_SECRET")
    error_message = "Only the webhook knows what Telegram repeats to it."
  }
}

run "units_are_worker_pools_by_default" {
  command = plan

  assert {
    condition     = toset([for unit in values(output.units) : unit.kind]) == toset(["pool"])
    error_message = "A unit without unit_kinds is a pool."
  }
  assert {
    condition     = length(output.function.secrets) == 0 && output.function.environment["CACHE"] == "sqlite"
    error_message = "The function needs neither Redis nor, without sources, a secret."
  }
}

run "a_unit_may_be_a_service_and_a_second_venue_has_an_ingestion_of_its_own" {
  command = plan
  variables {
    unit_kinds = { notifier = "service" }
    venues     = ["bybit-linear", "binance-spot"]
  }

  assert {
    condition     = output.units["notifier"].kind == "service" && output.units["aggregator"].kind == "pool"
    error_message = "Only the named one changes."
  }
  assert {
    condition     = output.units["ingestion"].environment["INGESTION_EXCHANGE"] == "bybit-linear" && output.units["ingestion-binance-spot"].environment["INGESTION_EXCHANGE"] == "binance-spot"
    error_message = "One ingestion per venue."
  }
}

run "sources_that_are_used_have_their_secrets" {
  command = plan
  variables {
    secrets_unused = []
  }

  assert {
    condition     = output.function.secrets["MACRO_DXY_URL"] == "macro-dxy-url" && contains(output.secrets, "macro-dominance-url")
    error_message = "An address that may hold a key is a secret."
  }
  assert {
    condition     = output.secrets_made == toset(["redis-url"])
    error_message = "Only the cache's address is known to Terraform."
  }
}

run "an_override_reaches_its_service" {
  command = plan
  variables {
    overrides = { logic-engine = { LOG_LEVEL = "DEBUG" } }
  }

  assert {
    condition     = output.units["logic-engine"].environment["LOG_LEVEL"] == "DEBUG" && !contains(keys(output.units["aggregator"].environment), "LOG_LEVEL")
    error_message = "Only the named one changes."
  }
}

run "an_unknown_setting_is_refused" {
  command = plan
  variables {
    overrides = { logic-engine = { LOGLEVEL = "DEBUG" } }
  }
  expect_failures = [var.overrides]
}

run "a_secret_is_no_setting" {
  command = plan
  variables {
    overrides = { notifier = { TELEGRAM_BOT_TOKEN = "123:abc" } }
  }
  expect_failures = [var.overrides]
}

run "an_unknown_unit_or_kind_is_refused" {
  command = plan
  variables {
    unit_kinds = { notifier = "job", nobody = "pool" }
  }
  expect_failures = [var.unit_kinds]
}

run "wrong_names_are_refused" {
  command = plan
  variables {
    environment = "Staging"
    project     = "123"
    region      = "mars"
    webhook_url = "http://plain"
  }
  expect_failures = [var.environment, var.project, var.region, var.webhook_url]
}

run "a_bigtable_without_nodes_is_refused" {
  command = plan
  variables {
    sizing = merge(yamldecode(file("../../sizing.yaml")).full, { bigtable = { nodes = 0, storage_type = "SSD" } })
  }
  expect_failures = [var.sizing]
}

run "a_subscription_of_nobody_is_refused" {
  command = plan
  variables {
    topology = merge(yamldecode(file("../../topology.yaml")), {
      subscriptions = [{ name = "stranger--candles-closed", topic = "candles-closed", ack_deadline_seconds = 20, max_delivery_attempts = 95 }]
    })
  }
  expect_failures = [var.topology]
}
