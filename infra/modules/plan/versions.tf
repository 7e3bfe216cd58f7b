# No provider: this module only reckons, so that `terraform validate` and `terraform test` run for real on any machine.
terraform {
  required_version = ">= 1.9"
}
