#!/usr/bin/env bash
# Runs the platform on this machine. One process per service; see `./start_services.sh help`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

usage() {
  cat <<'TEXT'
usage: ./start_services.sh [demo | live | emulators | cloud | stop | status | setup | help]
  demo    (default) a simulated market, messages on this terminal, charts as PNG under data/outbox/; needs no network
  live    the exchanges of config/tracker.yaml; Telegram when TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID are set (.env)
  emulators  the demo over the emulators of Pub/Sub and Bigtable (gcloud's) and redis-server, all started here
  cloud   as live, on the Pub/Sub, Bigtable and Redis of a Google Cloud project: GOOGLE_CLOUD_PROJECT, BIGTABLE_INSTANCE,
          REDIS_URL and application default credentials; creates nothing there, names what is missing
  stop    end every service of this folder
  status  what runs: PIDs, watermark ages, disk
  setup   create .venv with everything and compile the kernels; the others do it when needed
TEXT
}

fail() {
  echo "start_services: $1" >&2
  exit 2
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    if [[ -n $candidate ]] && command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed: install it, or name it in PYTHON"
}

setup() {
  local stamp wanted python
  stamp=.venv/.lock-checksum
  wanted=$(cat locks/development.txt pyproject.toml | cksum)
  if [[ -x .venv/bin/cst && -f $stamp && $(<"$stamp") == "$wanted" ]]; then
    compile_kernels
    return
  fi
  python=$(find_python)
  echo "setting up .venv (about a minute, once) …"
  "$python" -m venv .venv || fail "$python cannot create .venv: on Debian, apt-get install python3-venv"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/development.txt ||
    fail "installing the locked packages failed: see the lines above"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . ||
    fail "installing the project failed: see the lines above"
  compile_kernels
  echo "$wanted" >"$stamp"
}

# Again where the code they come from is new: a service must not compile while somebody waits for it.
compile_kernels() {
  local stamp=.venv/.kernels-checksum sources
  sources=$(find shared cli/replay research/fast -name '*.py' -print0 | sort -z | xargs -0 cat | cksum)
  if [[ -f $stamp && $(<"$stamp") == "$sources" ]]; then
    return
  fi
  if ! .venv/bin/cst compile-kernels; then
    rm -rf .cache/kernels # of another version, perhaps
    .venv/bin/cst compile-kernels || fail "compiling the kernels failed: see the lines above"
  fi
  echo "$sources" >"$stamp"
}

mode=${1:-demo}
case $mode in
  demo | live | emulators | cloud)
    setup
    exec .venv/bin/cst services "$mode" "${@:2}"
    ;;
  stop | status)
    [[ -x .venv/bin/cst ]] || fail "nothing was set up here yet: ./start_services.sh setup"
    exec .venv/bin/cst services "$mode" "${@:2}"
    ;;
  setup)
    setup
    echo "ready: ./start_services.sh demo"
    ;;
  help | -h | --help) usage ;;
  *)
    usage >&2
    fail "unknown mode '$mode'"
    ;;
esac
