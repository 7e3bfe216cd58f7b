#!/usr/bin/env bash
# What can be checked of the infrastructure without a project and without a network. run_tests.sh calls this.
# The provider is Google's schema behind a plugin that manages nothing (infra/offline), so that Terraform itself reads every
# module: `validate` for all, `test` for the tables of infra/modules/plan and, with mocks, for whole environments.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

if ! command -v terraform >/dev/null; then
  echo "skipped: terraform is not on the PATH (1.11 or newer); fmt, validate and the modules' tests did not run"
  exit 0
fi
python=${PYTHON_WITH_GRPC:-$PWD/../.venv/bin/python}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

terraform fmt -check -diff -recursive .

plugin=$scratch/mirror/registry.terraform.io/hashicorp/google/$(<offline/version)/$(uname -s | tr '[:upper:]' '[:lower:]')_$(uname -m |
  sed 's/x86_64/amd64/; s/aarch64/arm64/')
mkdir -p "$plugin"
printf '#!/bin/sh\nexec "%s" "%s"\n' "$python" "$PWD/offline/provider.py" >"$plugin/terraform-provider-google_v$(<offline/version)"
chmod +x "$plugin"/*
cat >"$scratch/terraformrc" <<TEXT
disable_checkpoint = true
provider_installation {
  filesystem_mirror { path = "$scratch/mirror" }
}
TEXT
export TF_CLI_CONFIG_FILE=$scratch/terraformrc TF_DISABLE_PLUGIN_TLS=1 TF_IN_AUTOMATION=1

# A copy, so that no lock of the stand-in's checksum and no state stays beside the sources.
mkdir "$scratch/infra"
cp -r ./*.yaml modules environments lite "$scratch/infra/"
for root in modules/plan environments/*/; do
  cd "$scratch/infra/$root"
  terraform init -backend=false -input=false -no-color >"$scratch/init" || { cat "$scratch/init" && exit 1; }
  if compgen -G 'tests/*.tftest.hcl' >/dev/null; then
    echo "$root: test"
    terraform test -no-color | grep -v '^tests/.*\.\.\. \(in progress\|tearing down\)$'
  else
    echo "$root: validate"
    terraform validate -no-color
  fi
done
