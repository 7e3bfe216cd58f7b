variable "environment" {
  description = "Name of the environment; one project holds one."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,13}[a-z0-9]$", var.environment))
    error_message = "environment must be 3 to 15 of a-z, 0-9 and -, beginning with a letter, was \"${var.environment}\"."
  }
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project must be a project id (6 to 30 of a-z, 0-9 and -), was \"${var.project}\"."
  }
}

variable "region" {
  description = "Region of everything, e.g. us-central1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must look like us-central1, was \"${var.region}\"."
  }
}

variable "topology" {
  description = "infra/topology.yaml, decoded."
  type = object({
    topics = list(object({ name = string, retention_hours = number }))
    subscriptions = list(object({
      name                  = string
      topic                 = string
      ack_deadline_seconds  = number
      max_delivery_attempts = number
    }))
    tables = list(object({ name = string, max_versions = number, ttl_hours = optional(number) }))
    services = list(object({
      name      = string
      publishes = optional(list(string), [])
      reads     = optional(list(string), [])
      writes    = optional(list(string), [])
    }))
  })

  validation {
    condition = alltrue([
      for item in var.topology.subscriptions :
      contains(var.topology.topics[*].name, item.topic) && contains(var.topology.services[*].name, split("--", item.name)[0])
    ])
    error_message = "Every subscription reads a declared topic and is named <declared service>--<topic>."
  }

  validation {
    condition     = alltrue([for item in var.topology.services : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", item.name))])
    error_message = "A service's name is its account's: 6 to 30 of a-z, 0-9 and -."
  }

  validation {
    condition     = alltrue([for item in var.topology.subscriptions : item.ack_deadline_seconds >= 10 && item.ack_deadline_seconds <= 600])
    error_message = "ack_deadline_seconds must be 10 to 600: Pub/Sub takes no other."
  }

  validation {
    condition     = alltrue([for item in var.topology.subscriptions : item.max_delivery_attempts >= 4 && item.max_delivery_attempts <= 99])
    error_message = "max_delivery_attempts must be 4 to 99: the broker counts one more, and at most 100."
  }
}

variable "settings" {
  description = "infra/settings.yaml, decoded: what each service reads from its environment."
  type        = map(object({ secrets = list(string), variables = list(string) }))
}

variable "sizing" {
  description = "The profile `full` of infra/sizing.yaml, decoded."
  type = object({
    units    = map(object({ cpu = number, memory_mib = number, instances = number }))
    webhook  = object({ cpu = number, memory_mib = number, instances_min = number, instances_max = number })
    function = object({ cpu = number, memory_mib = number, timeout_seconds = number, schedule = string })
    bigtable = object({ nodes = number, storage_type = string })
    redis    = object({ memory_gib = number, tier = string })
  })

  validation {
    condition     = alltrue([for unit in values(var.sizing.units) : unit.cpu >= 1 && unit.memory_mib >= 512 && unit.instances >= 0])
    error_message = "A unit has at least 1 cpu and 512 MiB: an always-on instance gets no less."
  }

  validation {
    condition     = var.sizing.bigtable.nodes >= 1
    error_message = "Bigtable has at least one node, billed while idle."
  }
}

variable "venues" {
  description = "Exchanges of config/tracker.yaml that are followed; each has an ingestion of its own."
  type        = list(string)
  default     = ["bybit-linear"]

  validation {
    condition     = length(var.venues) > 0 && length(distinct(var.venues)) == length(var.venues)
    error_message = "venues must name at least one exchange, each once."
  }
}

variable "unit_kinds" {
  description = "unit -> `pool` (worker pool) or `service` (Cloud Run service with one instance always on); `pool` where not named."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for kind in values(var.unit_kinds) : contains(["pool", "service"], kind)])
    error_message = "A unit is a `pool` or a `service`."
  }

  validation {
    condition     = length(setsubtract(keys(var.unit_kinds), keys(var.sizing.units))) == 0
    error_message = "unit_kinds names units that sizing.yaml does not have: ${join(", ", setsubtract(keys(var.unit_kinds), keys(var.sizing.units)))}."
  }
}

variable "overrides" {
  description = "service -> environment variable -> value, over what this module sets."
  type        = map(map(string))
  default     = {}

  validation {
    condition = alltrue(flatten([
      for service, values in var.overrides :
      [for name in keys(values) : contains(try(var.settings[service].variables, []), name)]
    ]))
    error_message = "Not a setting of that service (infra/settings.yaml): ${join(", ", flatten([
      for service, values in var.overrides :
      [for name in keys(values) : "${service} ${name}" if !contains(try(var.settings[service].variables, []), name)]
    ]))}."
  }
}

variable "secrets_unused" {
  description = "Secrets without a value, by variable: they are neither made nor mounted."
  type        = set(string)
  default     = ["MACRO_DXY_URL", "MACRO_DOMINANCE_URL"]
}

variable "telegram_chat_id" {
  description = "Chat of config entries without an id; the bot's /start tells it. Empty: the bot only answers /start."
  type        = string
  default     = ""
}

variable "webhook_url" {
  description = "Public https address of the webhook service."
  type        = string

  validation {
    condition     = startswith(var.webhook_url, "https://")
    error_message = "Telegram posts to https only, was \"${var.webhook_url}\"."
  }
}
