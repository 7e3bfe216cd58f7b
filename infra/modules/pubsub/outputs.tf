output "topic_ids" {
  description = "topic -> its id."
  value       = { for name, topic in google_pubsub_topic.this : name => topic.id }
}
