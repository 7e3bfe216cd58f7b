#!/usr/bin/env bash
# Writes every lock anew: hashes, no registry host. Needs uv (any recent one) on the PATH or in UV.
# development.txt holds everything; a service's lock takes the same versions from it.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=${UV:-uv}
flags=(--generate-hashes --no-emit-index-url --no-annotate --no-header --universal --python-version 3.11 --quiet)
"$uv" pip compile pyproject.toml --group development "${flags[@]}" "$@" -o locks/development.txt
for service in ingestion aggregator logic-engine notifier macro-engine simulator cli research; do
  "$uv" pip compile pyproject.toml --group "$service" --constraint locks/development.txt "${flags[@]}" -o "locks/$service.txt"
done
"$uv" pip compile pyproject.toml --group peers "${flags[@]}" "$@" -o locks/peers.txt
# Not beside our own dependencies: only what it needs itself.
"$uv" pip compile --group checkov "${flags[@]}" "$@" -o locks/checkov.txt
