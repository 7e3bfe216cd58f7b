# What each service's account may do, from the topology. Nothing is granted on the project but writing logs and metrics.
locals {
  table_names = var.topology.tables[*].name
  tables_read = {
    for service in var.topology.services : service.name => distinct(flatten([
      for name in service.reads :
      [for table in local.table_names : table if table == name || (endswith(name, "*") && startswith(table, trimsuffix(name, "*")))]
    ]))
  }
  tables_written = {
    for service in var.topology.services : service.name => distinct(flatten([
      for name in service.writes :
      [for table in local.table_names : table if table == name || (endswith(name, "*") && startswith(table, trimsuffix(name, "*")))]
    ]))
  }

  accounts = { for service in var.topology.services : service.name => "Runs ${service.name} of the Crypto Signal Tracker" }

  publishers = merge(
    {
      for pair in flatten([for service in var.topology.services : [for topic in service.publishes : { service = service.name, topic = topic }]]) :
      "${pair.service} ${pair.topic}" => pair
    },
    # Who reads a subscription buries there what it cannot handle, with the reason.
    {
      for name, item in local.subscriptions :
      "${item.service} ${item.dead_letter_topic}" => { service = item.service, topic = item.dead_letter_topic }
    },
  )
  subscribers = { for name, item in local.subscriptions : "${item.service} ${name}" => { service = item.service, subscription = name } }

  table_rights = merge(
    {
      for pair in flatten([for service, tables in local.tables_read : [for table in tables : { service = service, table = table }]]) :
      "${pair.service} ${pair.table}" => merge(pair, { role = "roles/bigtable.reader" })
    },
    {
      for pair in flatten([for service, tables in local.tables_written : [for table in tables : { service = service, table = table }]]) :
      "${pair.service} ${pair.table}" => merge(pair, { role = "roles/bigtable.user" })
    },
  )

  secret_readers = {
    for pair in flatten([for service, secrets in local.secrets_of : [for variable, secret in secrets : { service = service, secret = secret }]]) :
    "${pair.service} ${pair.secret}" => pair
  }
}
