#!/usr/bin/env bash
# What can be checked of the infrastructure without a project and without a network. run_tests.sh calls this.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! command -v terraform >/dev/null; then
  echo "skipped: terraform is not on the PATH (1.9 or newer); fmt, validate and the tests of infra/modules/plan did not run"
  exit 0
fi
terraform fmt -check -diff -recursive .
cd modules/plan
terraform init -input=false -no-color >/dev/null
terraform validate -no-color
terraform test -no-color
