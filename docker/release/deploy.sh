#!/usr/bin/env bash
# What runs, moved to other images by their digests, in steps: deploy (new revisions, nothing moves to them), smoke, traffic;
# and back: rollback [REVISION] moves every unit, or those in UNITS, to the revision before, or to the one named.
# The units themselves come from Terraform (infra/), which leaves their images alone.
# Environment: PROJECT, REGION; DIGESTS (what images.sh push wrote); UNITS (unit:target:kind, kind is pool, public or private).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

fail() {
  echo "deploy: $1" >&2
  exit 2
}

: "${PROJECT:?must be the project, e.g. crypto-signals-production}"
: "${REGION:?must be the region of the units, e.g. europe-west1}"
# A second venue adds ingestion-<venue>:ingestion:pool. The function is the macro engine's image behind Cloud Scheduler.
units=${UNITS:-ingestion:ingestion:pool aggregator:aggregator:pool logic-engine:logic-engine:pool notifier:notifier:pool \
notifier-webhook:notifier:public run-signal-generation:macro-engine:private}
digests=${DIGESTS:-digests.txt}
place=(--project="$PROJECT" --region="$REGION" --quiet)
candidate=candidate

image_of() {
  local image
  image=$(awk -v target="$1" '$1 == target { print $2 }' "$digests")
  [[ $image == *@sha256:* ]] || fail "$digests names no digest of $1: run docker/release/images.sh push"
  echo "$image"
}

# Calls $1 with unit, target and kind of each.
each_unit() {
  local entry unit target kind
  for entry in $units; do
    IFS=: read -r unit target kind <<<"$entry"
    [[ $kind =~ ^(pool|public|private)$ ]] || fail "UNITS must be unit:target:kind with pool, public or private, was $entry"
    "$1" "$unit" "$target" "$kind"
  done
}

deploy_one() {
  local image
  image=$(image_of "$2")
  echo "$1 <- $image"
  if [[ $3 == pool ]]; then
    gcloud run worker-pools update "$1" "${place[@]}" --image="$image" --no-promote
  else
    gcloud run services update "$1" "${place[@]}" --image="$image" --no-traffic --tag="$candidate"
  fi
}

group() { [[ $1 == pool ]] && echo worker-pools || echo services; }

# The newest revision is ready (its start-up probe asks /ready). What can be reached answers on the candidate's own address:
# the webhook, and the function, whose caller must show who it is; another unit that is a service is reached from nowhere.
smoke_one() {
  local unit=$1 target=$2 kind=$3 newest ready url
  newest=$(gcloud run "$(group "$kind")" describe "$unit" "${place[@]}" --format='value(status.latestCreatedRevisionName)')
  ready=$(gcloud run "$(group "$kind")" describe "$unit" "${place[@]}" --format='value(status.latestReadyRevisionName)')
  [[ -n $newest && $newest == "$ready" ]] || fail "$unit: revision '$newest' is not ready, '$ready' is; nothing was moved"
  if [[ $kind:$target != @(public:*|private:macro-engine) ]]; then
    echo "$unit: $newest is ready"
    return
  fi
  url=$(gcloud run services describe "$unit" "${place[@]}" --format='value(status.url)')
  answers "$kind" "$url" "https://$candidate---${url#https://}/" || fail "$unit: its candidate does not answer 200; nothing was moved"
  echo "$unit: $newest answers"
}

# A run of the function may be repeated: it publishes what the first one did. The token is for the service, whatever the tag.
answers() {
  local kind=$1 service=$2 candidate_url=$3 token
  if [[ $kind == public ]]; then
    curl --silent --show-error --fail --output /dev/null --retry 5 --retry-all-errors --max-time 30 "$candidate_url"
  else
    token=$(gcloud auth print-identity-token --audiences="$service")
    curl --silent --show-error --fail --output /dev/null --retry 2 --retry-all-errors --max-time 300 \
      --request POST --header "Authorization: Bearer $token" "$candidate_url"
  fi
}

traffic_one() {
  if [[ $3 == pool ]]; then
    gcloud run worker-pools update-instance-split "$1" "${place[@]}" --to-latest
  else
    gcloud run services update-traffic "$1" "${place[@]}" --to-latest --remove-tags="$candidate"
  fi
  echo "$1: moved"
}

rollback_one() {
  local unit=$1 kind=$3 revision=${wanted:-} list=(revisions list "--service=$1")
  if [[ -z $revision ]]; then
    [[ $kind != pool ]] || list=(worker-pools revisions list "--worker-pool=$unit")
    revision=$(gcloud run "${list[@]}" "${place[@]}" \
      --sort-by=~metadata.creationTimestamp --limit=2 --format='value(metadata.name)' | sed -n 2p)
    [[ -n $revision ]] || fail "$unit has no revision before its newest: name one, or deploy older digests"
  fi
  if [[ $kind == pool ]]; then
    gcloud run worker-pools update-instance-split "$unit" "${place[@]}" --to-revisions="$revision=100"
  else
    gcloud run services update-traffic "$unit" "${place[@]}" --to-revisions="$revision=100"
  fi
  echo "$unit: back on $revision"
}

case ${1:-} in
  deploy | smoke | traffic) each_unit "${1}_one" ;;
  rollback)
    wanted=${2:-}
    [[ -z $wanted || $units != *" "* ]] || fail "a revision belongs to one unit: set UNITS to it"
    each_unit rollback_one
    ;;
  *) fail "the step must be deploy, smoke, traffic or rollback, was '${1:-}'" ;;
esac
