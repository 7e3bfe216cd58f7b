resource "google_pubsub_topic" "this" {
  for_each                   = var.topics
  name                       = each.key
  labels                     = var.labels
  message_retention_duration = each.value.retention_seconds == null ? null : "${each.value.retention_seconds}s"
}

resource "google_pubsub_topic" "dead" {
  for_each = var.dead_letter_topics
  name     = each.key
  labels   = merge(var.labels, { dead_letters_of = each.value })
}

resource "google_pubsub_subscription" "this" {
  for_each                   = var.subscriptions
  name                       = each.key
  labels                     = var.labels
  topic                      = google_pubsub_topic.this[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "${each.value.retention_seconds}s"

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead[each.value.dead_letter_topic].id
    max_delivery_attempts = each.value.broker_attempts
  }

  # Never: a quiet month must not delete a subscription.
  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "dead" {
  for_each                   = var.dead_letter_subscriptions
  name                       = each.key
  labels                     = var.labels
  topic                      = google_pubsub_topic.dead[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "${each.value.retention_seconds}s"

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription" "push" {
  for_each                   = var.push_subscriptions
  name                       = each.key
  labels                     = var.labels
  topic                      = google_pubsub_topic.this[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = "${each.value.retention_seconds}s"

  push_config {
    push_endpoint = var.push_endpoints[each.value.service]

    oidc_token {
      service_account_email = var.push_account_email
      audience              = var.push_endpoints[each.value.service]
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "120s"
  }

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = var.publishers
  topic    = try(google_pubsub_topic.this[each.value.topic].id, google_pubsub_topic.dead[each.value.topic].id)
  role     = "roles/pubsub.publisher"
  member   = var.members[each.value.service]
}

resource "google_pubsub_subscription_iam_member" "subscriber" {
  for_each     = var.subscribers
  subscription = google_pubsub_subscription.this[each.value.subscription].id
  role         = "roles/pubsub.subscriber"
  member       = var.members[each.value.service]
}

# Pub/Sub's own account forwards what has used up its attempts, and takes it off the subscription.
locals {
  forwarder = "serviceAccount:service-${var.project_number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic_iam_member" "forwarder" {
  for_each = google_pubsub_topic.dead
  topic    = each.value.id
  role     = "roles/pubsub.publisher"
  member   = local.forwarder
}

resource "google_pubsub_subscription_iam_member" "forwarder" {
  for_each     = google_pubsub_subscription.this
  subscription = each.value.id
  role         = "roles/pubsub.subscriber"
  member       = local.forwarder
}
