#!/usr/bin/env bash
# What the tests want besides Python, on a Debian of its own (a build's step): Google's emulators and their Java, Redis, git.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

install() {
  apt-get update --quiet
  apt-get install --quiet --yes --no-install-recommends "$@"
}

install ca-certificates curl default-jre-headless git procps redis-server
key=/usr/share/keyrings/cloud.google.asc
curl --silent --show-error --fail --retry 3 --output "$key" https://packages.cloud.google.com/apt/doc/apt-key.gpg
echo "deb [signed-by=$key] https://packages.cloud.google.com/apt cloud-sdk main" >/etc/apt/sources.list.d/google-cloud-sdk.list
install google-cloud-cli google-cloud-cli-pubsub-emulator google-cloud-cli-bigtable-emulator
