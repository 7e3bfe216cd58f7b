#!/usr/bin/env bash
# A consistent copy of the embedded file while everything runs, then off the machine. crypto-signals-backup.service calls it.
# Environment: DATA_DIR; BACKUP_TARGET (gs://bucket, or host:folder for rsync); BACKUPS_KEPT_DAYS (7) on this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=${DATA_DIR:?must be the folder of the embedded file, e.g. /var/lib/crypto-signals}
folder=$data/backups
name=tracker-$(date -u +%Y-%m-%dT%H-%M-%SZ).db
mkdir -p "$folder"

.venv/bin/python -m cli.main backup "$folder/$name"
case ${BACKUP_TARGET:-} in
  '') echo "backup: BACKUP_TARGET is not set, so $folder/$name stays on this machine only" >&2 ;;
  gs://*) gcloud storage cp --quiet "$folder/$name" "$BACKUP_TARGET/$name" ;;
  *) rsync --archive --quiet "$folder/$name" "$BACKUP_TARGET/" ;;
esac
find "$folder" -name 'tracker-*.db' -type f -mtime "+${BACKUPS_KEPT_DAYS:-7}" -delete
echo "backup: $name"
