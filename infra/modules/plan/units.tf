# What runs, with which environment. Folders, the port of /health and the processor of the kernels are the image's (docker/Dockerfile).
locals {
  bigtable_instance = "tracker-${var.environment}"
  function_name     = "run-signal-generation"

  common = {
    BUS                  = "pubsub"
    STORE                = "bigtable"
    CACHE                = "redis"
    GOOGLE_CLOUD_PROJECT = var.project
    BIGTABLE_INSTANCE    = local.bigtable_instance
  }
  own = {
    ingestion    = {}
    aggregator   = {}
    logic-engine = { REQUIRE_COMPILED = "1" } # a kernel that the image lacks must end the start, not cost minutes
    notifier = {
      TELEGRAM_CHAT_ID = var.telegram_chat_id
      TELEGRAM_UPDATES = "webhook"
    }
    notifier-webhook = {
      TELEGRAM_CHAT_ID = var.telegram_chat_id
      TELEGRAM_UPDATES = "webhook"
      WEBHOOK_URL      = var.webhook_url
    }
    # Four runs an hour need no Redis: losing the cache loses nothing.
    macro-engine = { CACHE = "sqlite" }
  }
  environment = {
    for service in keys(var.settings) :
    service => merge(local.common, local.own[service], lookup(var.overrides, service, {}))
  }

  # Secret NAME is called name in Secret Manager, mounted at /secrets/<name>/value, and NAME_FILE says so.
  secrets_of = {
    for service, known in var.settings : service => {
      for variable in known.secrets : variable => lower(replace(variable, "_", "-"))
      if !contains(var.secrets_unused, variable) && (variable != "REDIS_URL" || local.environment[service]["CACHE"] == "redis")
    }
  }
  secrets      = toset(flatten([for secrets in values(local.secrets_of) : values(secrets)]))
  secrets_made = toset(["redis-url"]) # its value is known to Terraform; all others are put in by hand

  units = merge(
    {
      for name, size in var.sizing.units : name => {
        service     = name
        kind        = lookup(var.unit_kinds, name, "pool")
        size        = size
        environment = local.environment[name]
        secrets     = local.secrets_of[name]
      } if name != "ingestion"
    },
    # The first venue's is called ingestion, the others' ingestion-<venue>.
    {
      for place, venue in var.venues : place == 0 ? "ingestion" : "ingestion-${venue}" => {
        service     = "ingestion"
        kind        = lookup(var.unit_kinds, "ingestion", "pool")
        size        = var.sizing.units["ingestion"]
        environment = merge(local.environment["ingestion"], { INGESTION_EXCHANGE = venue })
        secrets     = local.secrets_of["ingestion"]
      }
    },
  )
  webhook  = { size = var.sizing.webhook, environment = local.environment["notifier-webhook"], secrets = local.secrets_of["notifier-webhook"] }
  function = { size = var.sizing.function, environment = local.environment["macro-engine"], secrets = local.secrets_of["macro-engine"] }
}
