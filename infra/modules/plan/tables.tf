locals {
  tables = {
    for table in var.topology.tables : table.name => {
      family = "r"
      # A cell goes when enough newer ones are there, or when it is too old: either is enough (shared/store/bigtable_admin.py).
      gc_rules = jsonencode(merge(
        { rules = concat([{ max_version = table.max_versions }], [for hours in [table.ttl_hours] : { max_age = "${hours}h" } if hours != null]) },
        { for mode in ["union"] : "mode" => mode if table.ttl_hours != null },
      ))
    }
  }
}
