#!/usr/bin/env bash
# What can be checked of the infrastructure without a project and without a network. run_tests.sh calls this.
# The provider is Google's schema behind a plugin that manages nothing (infra/offline), so that Terraform itself reads every
# module: `validate` for all, `test` for the tables of infra/modules/plan and, with mocks, for whole environments (production's
# plan is made and looked into by tests/unit/test_infra_terraform_production.py; `infra/check.sh all` makes it here).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

export CHECKPOINT_DISABLE=1
found=$(command -v terraform >/dev/null && terraform version | sed -n 's/^Terraform v//p' || true)
if [[ $(printf '%s\n' 1.11.0 "${found:-0}" | sort -V | head -n 1) != 1.11.0 ]]; then
  echo "skipped: terraform 1.11 or newer is not on the PATH (${found:-none}); fmt, validate and the modules' tests did not run"
  exit 0
fi
terraform fmt -check -diff -recursive .

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
offline/copy.sh "$scratch"
export TF_CLI_CONFIG_FILE=$scratch/terraformrc TF_DISABLE_PLUGIN_TLS=1 TF_IN_AUTOMATION=1

in_root() {
  cd "$scratch/infra/$1"
  terraform init -backend=false -input=false -no-color >"$scratch/init" || { cat "$scratch/init" && exit 1; }
  echo "$1: $2"
  terraform "$2" -no-color | grep -v '^tests/.*\.\.\. \(in progress\|tearing down\)$'
}
in_root modules/plan test
in_root environments/lite test
in_root environments/staging validate
[[ ${1:-} != all ]] || in_root environments/production test
