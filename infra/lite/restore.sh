#!/usr/bin/env bash
# Puts a backup in the embedded file's place: stops the services, restores, starts them again. The former file is kept beside it.
#   sudo infra/lite/restore.sh FILE            # a copy on this machine, or gs://bucket/tracker-….db
# What happened since the backup is gone: candles are filled again from the venue, signals since then are not known any more.
# Environment: DATA_DIR (/var/lib/crypto-signals); NO_SYSTEM=1 leaves services and users alone (tests).
set -euo pipefail
app=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export DATA_DIR=${DATA_DIR:-/var/lib/crypto-signals}
file=${1:?must be the backup: a file, or gs://bucket/tracker-….db}
cd "$app"

if [[ $file == gs://* ]]; then
  mkdir -p "$DATA_DIR/backups"
  gcloud storage cp --quiet "$file" "$DATA_DIR/backups/"
  file=$DATA_DIR/backups/${file##*/}
fi
[[ -r $file ]] || { echo "restore: $file cannot be read" >&2 && exit 2; }
restore=("${PYTHON:-$app/.venv/bin/python}" -m cli.main restore "$file")
if [[ -n ${NO_SYSTEM:-} ]]; then
  exec "${restore[@]}"
fi
[[ $(id -u) == 0 ]] || { echo "restore: root is needed: sudo $0 $file" >&2 && exit 2; }
chown tracker:tracker "$file"
systemctl stop crypto-signals.target 'crypto-signals@*.service'
# Started again even where the restore is refused: then with the file that was there.
trap 'systemctl start crypto-signals.target' EXIT
runuser -u tracker -- env DATA_DIR="$DATA_DIR" "${restore[@]}"
