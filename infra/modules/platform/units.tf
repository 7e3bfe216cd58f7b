# What runs. A unit starts when its topics, tables and secrets are there; the function comes before the topics' push.
module "unit" {
  source   = "../unit"
  for_each = module.plan.units

  name                = each.key
  kind                = each.value.kind
  region              = var.region
  labels              = module.plan.labels
  image               = each.value.kind == "pool" ? local.pool_image : local.service_image
  account_email       = module.iam.emails[each.value.service]
  environment         = each.value.environment
  secrets             = each.value.secrets
  network             = module.network.network
  subnetwork          = module.network.subnetwork
  cpu                 = each.value.size.cpu
  memory_mib          = each.value.size.memory_mib
  instances           = var.stopped ? 0 : each.value.size.instances
  deletion_protection = var.deletion_protection
  depends_on          = [module.pubsub, module.bigtable, module.secrets]
}

module "webhook" {
  source = "../webhook"

  name                = local.webhook_name
  region              = var.region
  labels              = module.plan.labels
  image               = local.service_image
  account_email       = module.iam.emails["notifier-webhook"]
  environment         = module.plan.webhook.environment
  secrets             = module.plan.webhook.secrets
  network             = module.network.network
  subnetwork          = module.network.subnetwork
  cpu                 = module.plan.webhook.size.cpu
  memory_mib          = module.plan.webhook.size.memory_mib
  instances_min       = module.plan.webhook.size.instances_min
  instances_max       = module.plan.webhook.size.instances_max
  deletion_protection = var.deletion_protection
  depends_on          = [module.bigtable, module.secrets]
}

module "function" {
  source = "../function"

  name                = module.plan.function_name
  region              = var.region
  labels              = module.plan.labels
  image               = local.service_image
  account_email       = module.iam.emails["macro-engine"]
  environment         = module.plan.function.environment
  secrets             = module.plan.function.secrets
  cpu                 = module.plan.function.size.cpu
  memory_mib          = module.plan.function.size.memory_mib
  timeout_seconds     = module.plan.function.size.timeout_seconds
  callers             = { scheduler = module.iam.caller_member, builder = module.build.member }
  deletion_protection = var.deletion_protection
  depends_on          = [module.bigtable, module.secrets]
}

module "scheduler" {
  source = "../scheduler"

  name     = "macro-engine"
  region   = var.region
  schedule = module.plan.function.size.schedule
  topic_id = module.pubsub.topic_ids["macro-triggers"]
  paused   = var.stopped
}
