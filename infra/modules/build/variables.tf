variable "project" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Of trigger, registry and units."
  type        = string
}

variable "account_emails" {
  description = "service -> address of the account its revisions run as."
  type        = map(string)
}

variable "repository" {
  description = "Id of the connected source repository (projects/…/connections/…/repositories/…); null: no trigger."
  type        = string
}

variable "branch" {
  description = "Pushes to branches that match this are built; unused where `tag` is set."
  type        = string
}

variable "tag" {
  description = "Tags that match this are built instead of a branch."
  type        = string
}

variable "approval_required" {
  description = "Whether a build waits for somebody's approval."
  type        = bool
}

variable "registry" {
  description = "Id of the images' repository."
  type        = string
}

variable "deployments" {
  description = "unit:image:kind of everything that is deployed."
  type        = string
}
