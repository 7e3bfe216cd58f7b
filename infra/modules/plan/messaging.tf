locals {
  hour = 3600

  # Pub/Sub keeps acknowledged messages for ten minutes at least; what is to be forgotten sooner is not kept at all.
  retention_seconds_min = 600
  # Of what nobody has acknowledged, and of dead letters: shared/bus/pubsub_admin.py has the same.
  unacknowledged_seconds  = 7 * 24 * local.hour
  dead_letter_ack_seconds = 10

  topics = {
    for topic in var.topology.topics : topic.name => {
      retention_seconds = topic.retention_hours * local.hour >= local.retention_seconds_min ? topic.retention_hours * local.hour : null
    }
  }
  dead_letter_topics = { for item in var.topology.subscriptions : "${item.name}--dead" => item.name }

  subscriptions = {
    for item in var.topology.subscriptions : item.name => {
      topic                = item.topic
      service              = split("--", item.name)[0]
      ack_deadline_seconds = item.ack_deadline_seconds
      retention_seconds    = local.unacknowledged_seconds
      dead_letter_topic    = "${item.name}--dead"
      # The adapter gives up at max_delivery_attempts and says why; the broker's own forwarding is the net behind it.
      broker_attempts = min(max(item.max_delivery_attempts + 1, 5), 100)
    }
  }
  dead_letter_subscriptions = {
    for topic, subscription in local.dead_letter_topics : topic => {
      topic                = topic
      ack_deadline_seconds = local.dead_letter_ack_seconds
      retention_seconds    = local.unacknowledged_seconds
    }
  }

  # The tick of Cloud Scheduler reaches the function by push. A tick that was missed for ten minutes is worth nothing.
  push_subscriptions = {
    "macro-engine--macro-triggers" = {
      topic                = "macro-triggers"
      service              = "macro-engine"
      ack_deadline_seconds = min(600, var.sizing.function.timeout_seconds)
      retention_seconds    = local.retention_seconds_min
    }
  }
}

# Topics on which silence is a fault: heartbeats every second, a bias every quarter of an hour.
locals {
  blind_seconds = 600
  venue_topics = {
    for venue in var.venues : "raw-tick-data-${split("-", venue)[0]}" => local.blind_seconds
    if contains(var.topology.topics[*].name, "raw-tick-data-${split("-", venue)[0]}")
  }
  silences = merge(local.venue_topics, { "candles-closed" = local.blind_seconds + 300, "macro-bias-updates" = 3600 })
}
