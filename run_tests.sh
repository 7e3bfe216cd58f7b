#!/usr/bin/env bash
# Sets up what a fresh machine lacks, then runs every check and every test. MARKET_DATA=folder adds the recorded-data tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

./start_services.sh setup
bin=.venv/bin
step() { printf '\n== %s\n' "$*"; }

step "format and lint"
"$bin/ruff" format --check .
"$bin/ruff" check .
step "types"
"$bin/mypy"
step "floors"
"$bin/lint-imports"
step "configuration, YAML, shell"
"$bin/cst" config check
"$bin/yamllint" --strict config infra
"$bin/shellcheck" start_services.sh run_tests.sh locks/update.sh .ci/run
step "tests"
"$bin/python" -m pytest "$@"
