#!/usr/bin/env bash
# A consistent copy of the embedded file while everything runs, then off the machine. crypto-signals-backup.service calls it.
# Environment: DATA_DIR; BACKUP_TARGET (gs://bucket, a mounted folder /…, or host:folder for rsync); BACKUPS_KEPT (7) stay here.
set -euo pipefail
app=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
data=${DATA_DIR:?must be the folder of the embedded file, e.g. /var/lib/crypto-signals}
folder=$data/backups
cd "$app"

"${PYTHON:-$app/.venv/bin/python}" -m cli.main backup "$folder" --keep "${BACKUPS_KEPT:-7}"
newest=$(find "$folder" -name 'tracker-*.db' -type f | sort | tail -n 1)
case ${BACKUP_TARGET:-} in
  '')
    echo "backup: BACKUP_TARGET is not set: $newest stays on this machine only"
    exit 0
    ;;
  gs://*) gcloud storage cp --quiet "$newest" "$BACKUP_TARGET/" ;;
  # Under another name first: a copy that is cut off must not look like a backup.
  /*) cp "$newest" "$BACKUP_TARGET/.part" && mv "$BACKUP_TARGET/.part" "$BACKUP_TARGET/${newest##*/}" ;;
  *:*) rsync --archive --quiet "$newest" "$BACKUP_TARGET/" ;;
  *)
    echo "backup: BACKUP_TARGET must be gs://bucket, a folder /… or host:folder, was '$BACKUP_TARGET'" >&2
    exit 2
    ;;
esac
echo "backup: ${newest##*/} is at $BACKUP_TARGET"
