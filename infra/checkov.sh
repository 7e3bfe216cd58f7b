#!/usr/bin/env bash
# checkov in an environment of its own (its pins do not fit ours), made from locks/checkov.txt where it is missing: half a minute,
# and a quarter of a minute a run. run_tests.sh runs it beside the tests (docs/adr/2026-11-20-infrastructure.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
tool=.cache/checkov
wanted=$(cksum <locks/checkov.txt)
if [[ ! -f $tool/.lock-checksum || $(<"$tool/.lock-checksum") != "$wanted" ]]; then
  rm -rf "$tool"
  "${PYTHON:-python3}" -m venv "$tool"
  "$tool/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/checkov.txt
  echo "$wanted" >"$tool/.lock-checksum"
fi
"$tool/bin/checkov" --config-file infra/checkov.yaml
echo "checkov: nothing found"
