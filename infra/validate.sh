#!/bin/sh
# `terraform validate` with Google's own provider, which the registry must give: for builds, with a network and no credentials.
# What runs without a network is infra/check.sh.
set -eu
cd "$(dirname "$0")"
terraform fmt -check -recursive .
for root in modules/plan environments/staging environments/production environments/lite; do
  echo "$root"
  terraform -chdir="$root" init -backend=false -input=false -no-color >/dev/null
  terraform -chdir="$root" validate -no-color
done
