# Who is told, and of what. The services tell people on Telegram themselves (system events); this is for when they cannot.
resource "google_monitoring_notification_channel" "email" {
  display_name = "Operator"
  type         = "email"
  labels       = { email_address = var.alert_email }
}

locals {
  channels = [google_monitoring_notification_channel.email.id]
  running  = ["cloud_run_worker_pool", "cloud_run_revision"]
}

resource "google_monitoring_alert_policy" "dead_letters" {
  display_name          = "Dead letters wait"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "A dead letter waits for somebody"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND resource.label.subscription_id = monitoring.regex.full_match(\".*--dead\")"
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "60s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.subscription_id"]
      }
    }
  }

  documentation {
    content   = "`cst dead-letters list` shows what was refused and why; `show` and `requeue` do the rest."
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "backlog" {
  display_name          = "A subscription falls behind"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "The oldest message waits too long"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND resource.label.subscription_id != monitoring.regex.full_match(\".*--dead\")"
      comparison      = "COMPARISON_GT"
      threshold_value = var.backlog_seconds_max
      duration        = "120s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = "REDUCE_MAX"
        group_by_fields      = ["resource.label.subscription_id"]
      }
    }
  }

  documentation {
    content   = "Its reader is down or too slow: look at the unit that the subscription's name begins with."
    mime_type = "text/markdown"
  }
}

# Heartbeats come every second and a bias every quarter of an hour: silence is a fault, and nobody is there to tell it.
resource "google_monitoring_alert_policy" "silence" {
  for_each              = var.silences
  display_name          = "Nothing is published on ${each.key}"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "Silent for ${each.value} s"

    condition_absent {
      filter   = "resource.type = \"pubsub_topic\" AND resource.label.topic_id = \"${each.key}\" AND metric.type = \"pubsub.googleapis.com/topic/send_message_operation_count\""
      duration = "${each.value}s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_COUNT"
      }
    }
  }

  documentation {
    content   = "Its publisher is down, or blind: see the unit's log."
    mime_type = "text/markdown"
  }
}

resource "google_logging_metric" "errors" {
  name        = "crypto-signals/errors"
  description = "Lines of severity ERROR or worse, by unit"
  filter      = "severity >= ERROR AND (${join(" OR ", [for kind in local.running : "resource.type = \"${kind}\""])})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "errors" {
  display_name          = "Units report errors"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = var.labels

  dynamic "conditions" {
    for_each = toset(local.running)

    content {
      display_name = "More errors than now and then (${conditions.value})"

      condition_threshold {
        filter          = "resource.type = \"${conditions.value}\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.errors.name}\""
        comparison      = "COMPARISON_GT"
        threshold_value = var.errors_max
        duration        = "0s"

        aggregations {
          alignment_period     = "300s"
          per_series_aligner   = "ALIGN_DELTA"
          cross_series_reducer = "REDUCE_SUM"
        }
      }
    }
  }
}

resource "google_monitoring_alert_policy" "bigtable" {
  display_name          = "Bigtable's node is busy"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = var.labels

  conditions {
    display_name = "CPU over 70 % for ten minutes"

    condition_threshold {
      filter          = "resource.type = \"bigtable_cluster\" AND metric.type = \"bigtable.googleapis.com/cluster/cpu_load\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0.7
      duration        = "600s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MEAN"
      }
    }
  }
}
