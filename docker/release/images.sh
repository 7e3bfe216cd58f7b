#!/usr/bin/env bash
# Images of every target, step by step: build, scan, push. Called by cloudbuild.yaml; the same by hand:
#   REGISTRY=europe-west1-docker.pkg.dev/PROJECT/crypto-signals TAG=$(git rev-parse --short HEAD) docker/release/images.sh build
# Environment: REGISTRY, TAG; TARGETS (all), DIGESTS (file that push writes: target and image by digest on each line),
# SCAN_SEVERITIES (CRITICAL), SCAN_LOCATION (us, europe or asia), REVISION, SOURCE_URL (labels).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
  echo "images: $1" >&2
  exit 2
}

: "${REGISTRY:?must be the repository of the images, e.g. europe-west1-docker.pkg.dev/PROJECT/crypto-signals}"
: "${TAG:?must be the tag of the images, e.g. the commit}"
targets=${TARGETS:-ingestion aggregator logic-engine notifier macro-engine simulator tools}
digests=${DIGESTS:-digests.txt}

build() {
  local target created
  created=$(date -u +%Y-%m-%dT%H:%M:%SZ)
  # Only a builder of its own can write a cache into a registry.
  docker buildx inspect release >/dev/null 2>&1 || docker buildx create --name release --driver docker-container >/dev/null
  for target in $targets; do
    docker buildx build --builder release --file docker/Dockerfile --target "$target" \
      --build-arg "REVISION=${REVISION:-$TAG}" --build-arg "CREATED=$created" --build-arg "SOURCE_URL=${SOURCE_URL:-unknown}" \
      --cache-from "type=registry,ref=$REGISTRY/cache:$target" \
      --cache-to "type=registry,ref=$REGISTRY/cache:$target,mode=max" \
      --load --tag "$REGISTRY/$target:$TAG" .
  done
}

# The gate: nothing is pushed while an image has a weakness that is as severe as SCAN_SEVERITIES says.
scan() {
  local target report found severities
  severities=${SCAN_SEVERITIES:-CRITICAL}
  for target in $targets; do
    report=$(gcloud artifacts docker images scan "$REGISTRY/$target:$TAG" --location="${SCAN_LOCATION:-europe}" \
      --format='value(response.scan)')
    found=$(gcloud artifacts docker images list-vulnerabilities "$report" --location="${SCAN_LOCATION:-europe}" \
      --format='value(vulnerability.effectiveSeverity)' | sort | uniq -c)
    echo "$target: ${found:-no weakness known}"
    if grep -qwE "${severities// /|}" <<<"$found"; then
      fail "$target has weaknesses of severity $severities: gcloud artifacts docker images list-vulnerabilities $report"
    fi
  done
}

push() {
  local target digest
  : >"$digests"
  for target in $targets; do
    docker push --quiet "$REGISTRY/$target:$TAG" >/dev/null
    digest=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$REGISTRY/$target:$TAG" |
      grep -F "$REGISTRY/$target@sha256:" | head -n 1) || fail "$target was pushed, but docker knows no digest of it"
    echo "$target $digest" | tee -a "$digests"
  done
}

case ${1:-} in
  build | scan | push) "$1" ;;
  *) fail "the step must be build, scan or push, was '${1:-}'" ;;
esac
