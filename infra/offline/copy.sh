#!/usr/bin/env bash
# copy.sh FOLDER: a copy of infra/ under FOLDER/infra, and FOLDER/terraformrc, which gives Terraform the stand-in for the provider.
# A copy, so that no lock with the stand-in's checksum and no state stays beside the sources. PYTHON must have grpcio.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:?must be an empty folder}
version=$(<"$here/version")
platform=$(uname -s | tr '[:upper:]' '[:lower:]')_$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')
plugin=$folder/mirror/registry.terraform.io/hashicorp/google/$version/$platform
mkdir -p "$plugin" "$folder/infra"
cp -r "$here"/../{*.yaml,modules,environments} "$folder/infra/"
cat >"$plugin/terraform-provider-google_v$version" <<TEXT
#!/bin/sh
exec "${PYTHON:-$here/../../.venv/bin/python}" "$here/provider.py"
TEXT
chmod +x "$plugin/terraform-provider-google_v$version"
cat >"$folder/terraformrc" <<TEXT
disable_checkpoint = true
provider_installation {
  filesystem_mirror { path = "$folder/mirror" }
}
TEXT
