#!/usr/bin/env bash
# Sets up what a fresh machine lacks, then runs every check and every test; `checks` or `tests` as its argument: only those,
# any other arguments go to pytest behind the checks. MARKET_DATA=folder adds the recorded-data tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./start_services.sh setup
if ! command -v redis-server >/dev/null; then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null && apt-get install -y -qq --no-install-recommends redis-server >/dev/null; then
    echo "redis-server was missing and has been installed by apt-get"
  else
    echo "redis-server is missing: apt-get install redis-server, else the tests that need it are skipped"
  fi
fi
bin=.venv/bin
step() { printf '\n== %s\n' "$*"; }

checks() {
  step "format and lint"
  "$bin/ruff" format --check .
  "$bin/ruff" check .
  step "types"
  "$bin/mypy"
  step "floors"
  "$bin/lint-imports"
  step "configuration, YAML, shell"
  "$bin/cst" config check
  "$bin/yamllint" --strict config infra docker cloudbuild.yaml .github
  "$bin/shellcheck" start_services.sh run_tests.sh locks/update.sh docker/*.sh docker/release/*.sh infra/*.sh infra/lite/*.sh infra/offline/*.sh .ci/run
  step "images and builds"
  "$bin/hadolint" docker/Dockerfile
  "$bin/check-jsonschema" --builtin-schema vendor.compose-spec docker/compose.yaml
  "$bin/check-jsonschema" --builtin-schema vendor.cloudbuild cloudbuild.yaml
  "$bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yaml
  step "infrastructure"
  infra/check.sh
}

[[ ${1:-} == tests ]] || checks
case ${1:-} in
  checks) exit ;;
  tests) shift ;;
esac
if (( $# )); then
  step "tests: $*"
  exec "$bin/python" -m pytest "$@"
fi
# Tests that only compute run beside those that mostly wait for processes, at low priority: neither takes what the other
# needs. Those that hold a process to a time come last, when nothing else runs.
computing=(tests/property tests/simulation)
for area in backtesting exchanges indicators logic_engine macro_engine portfolio simulator strategies; do
  computing+=("tests/unit/$area")
done
timed=tests/integration/test_services_on_emulators.py
log=$(mktemp)
trap 'rm -f "$log"; [[ -z $(jobs -p) ]] || kill $(jobs -p)' EXIT
computed() {
  nice -n 10 "$bin/python" -m pytest -n 2 --dist loadfile --timeout 900 "${computing[@]}"
  nice -n 10 infra/checkov.sh
}
step "tests that compute, checkov: beside the next three, told behind them"
(set -e && computed) >"$log" 2>&1 &
beside=$!
step "tests of parts"
"$bin/python" -m pytest -n 2 --dist loadfile tests/unit tests/contract "${computing[@]/#/--ignore=}"
step "tests of processes"
"$bin/python" -m pytest -n 2 --dist loadfile tests/integration --ignore "$timed"
step "tests of the platform"
"$bin/python" -m pytest tests/end_to_end tests/chaos --seeds 1 # ten and three of them: pytest tests/chaos
step "tests that compute, checkov"
failed=0
wait "$beside" || failed=$?
cat "$log"
((failed == 0)) || exit "$failed"
step "tests of times"
"$bin/python" -m pytest "$timed"
