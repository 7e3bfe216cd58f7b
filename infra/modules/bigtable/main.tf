# One node is the least there is, and it is billed while idle.
resource "google_bigtable_instance" "this" {
  name                = var.instance
  display_name        = var.instance
  labels              = var.labels
  deletion_protection = var.deletion_protection

  cluster {
    cluster_id   = "${var.instance}-a"
    zone         = var.zone
    num_nodes    = var.nodes
    storage_type = var.storage_type
  }
}

resource "google_bigtable_table" "this" {
  for_each            = var.tables
  name                = each.key
  instance_name       = google_bigtable_instance.this.name
  deletion_protection = var.deletion_protection ? "PROTECTED" : "UNPROTECTED"

  column_family {
    family = each.value.family
  }

  dynamic "automated_backup_policy" {
    for_each = var.backup_hours == 0 ? [] : [var.backup_hours]

    content {
      frequency        = "24h0m0s"
      retention_period = "${automated_backup_policy.value}h0m0s"
    }
  }
}

resource "google_bigtable_gc_policy" "this" {
  for_each        = var.tables
  instance_name   = google_bigtable_instance.this.name
  table           = google_bigtable_table.this[each.key].name
  column_family   = each.value.family
  gc_rules        = each.value.gc_rules
  deletion_policy = "ABANDON"
}

resource "google_bigtable_table_iam_member" "right" {
  for_each      = var.table_rights
  instance_name = google_bigtable_instance.this.name
  table         = google_bigtable_table.this[each.value.table].name
  role          = each.value.role
  member        = var.members[each.value.service]
}
