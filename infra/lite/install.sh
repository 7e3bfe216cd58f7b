#!/usr/bin/env bash
# Installs or upgrades the embedded mode on a Debian or Ubuntu machine with systemd, from the source tree that it stands in.
# Repeating it changes nothing that an operator wrote: /etc/crypto-signals and /var/lib/crypto-signals stay as they are.
#   sudo infra/lite/install.sh            # the tree must be /opt/crypto-signals
# TELEGRAM_CHAT_ID and BACKUP_TARGET, where set, are written into a new /etc/crypto-signals/environment.
# ROOT=folder with NO_SYSTEM=1 puts every file under the folder and touches no user, package or unit (tests).
set -euo pipefail
umask 022 # what it installs is for the user tracker to read

app=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
root=${ROOT:-}
etc=$root/etc/crypto-signals
units=$root/etc/systemd/system
system() { [[ -n ${NO_SYSTEM:-} ]] || "$@"; }
fail() {
  echo "install: $1" >&2
  exit 2
}

[[ -n ${NO_SYSTEM:-} || $(id -u) == 0 ]] || fail "root is needed: sudo $0"
[[ -n ${NO_SYSTEM:-} || $app == /opt/crypto-signals ]] || fail "the units expect the tree at /opt/crypto-signals, it is $app: move it"

missing=()
command -v rsync >/dev/null || missing+=(rsync)
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
  system env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  system env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}"
fi
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "Python 3.11 or newer is needed: Debian 12, Ubuntu 24.04 or newer"

id tracker >/dev/null 2>&1 || system useradd --system --home-dir /var/lib/crypto-signals --shell /usr/sbin/nologin tracker
group() { [[ -n ${NO_SYSTEM:-} ]] && id -gn || echo tracker; }
mkdir -p "$etc" "$units" "$root/var/lib/crypto-signals"
system chown tracker:tracker /var/lib/crypto-signals
chgrp "$(group)" "$etc"
chmod 0750 "$etc"

# The packages of the five services and of `cst`, of one set of locks; nothing for development.
if [[ -z ${NO_SYSTEM:-} ]]; then
  wanted=$(cat "$app"/locks/*.txt | cksum)
  if [[ ! -f $app/.venv/.lite-locks || $(<"$app/.venv/.lite-locks") != "$wanted" ]]; then
    python3 -m venv "$app/.venv"
    requirements=()
    for name in ingestion aggregator logic-engine macro-engine notifier cli; do requirements+=(-r "$app/locks/$name.txt"); done
    "$app/.venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes "${requirements[@]}"
    echo "$wanted" >"$app/.venv/.lite-locks"
  fi
  "$app/.venv/bin/python" -m compileall -q "$app/services" "$app/shared" "$app/cli" "$app/research"
fi

[[ -e $etc/tracker.yaml ]] || install -m 0640 -g "$(group)" "$app/config/tracker.yaml" "$etc/tracker.yaml"
if [[ ! -e $etc/environment ]]; then
  install -m 0640 -g "$(group)" "$app/infra/lite/environment.example" "$etc/environment"
  [[ -z ${TELEGRAM_CHAT_ID:-} ]] || sed -i "s|^#TELEGRAM_CHAT_ID=.*|TELEGRAM_CHAT_ID=$TELEGRAM_CHAT_ID|" "$etc/environment"
  [[ -z ${BACKUP_TARGET:-} ]] || sed -i "s|^#BACKUP_TARGET=.*|BACKUP_TARGET=$BACKUP_TARGET|" "$etc/environment"
fi
if [[ -s $etc/secrets/telegram-bot-token ]]; then
  chgrp -R "$(group)" "$etc/secrets"
  chmod 0750 "$etc/secrets"
  chmod 0640 "$etc/secrets/telegram-bot-token"
  sed -i 's|^#TELEGRAM_BOT_TOKEN_FILE=|TELEGRAM_BOT_TOKEN_FILE=|' "$etc/environment"
fi

install -m 0644 "$app"/infra/lite/systemd/* "$units/"
system systemctl daemon-reload
system systemctl enable --quiet crypto-signals.target crypto-signals-kernels.service crypto-signals-backup.timer \
  crypto-signals@{ingestion,aggregator,logic_engine,macro_engine,notifier}.service
system systemctl restart crypto-signals.target crypto-signals-backup.timer
echo "installed: systemctl status 'crypto-signals*', journalctl -fu 'crypto-signals@*'"
