"""Looks for secrets in what git tracks: `python -m tests.support.secret_scan` prints each place and ends with status 1.

Only texts that are a secret by their form count (a token, a key, a password in a URL), not words that sound like one; so
there is no list of exceptions to keep but for texts that tests make up, which say so.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
_BYTES_MAX: Final = 2_000_000
FORMS: Final = {
    "Telegram bot token": r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*(?:\\n)?\s*[A-Za-z0-9+/]{40}",
    "Google API key": r"AIza[\w-]{35}",
    "Google OAuth token": r"ya29\.[\w-]{30,}",
    "Google service account": r'"private_key_id":\s*"[0-9a-f]{40}"',
    "Amazon key": r"(?<![A-Z0-9])AKIA[0-9A-Z]{16}(?![A-Z0-9])",
    "GitHub token": r"gh[opsur]_[A-Za-z0-9]{36}|github_pat_\w{60,}",
    "Slack token": r"xox[abprs]-[\w-]{20,}",
    "PyPI token": r"pypi-AgEI[\w-]{50,}",
    "JSON web token": r"eyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{20,}",
    # A password as long as generated ones are; documentation writes shorter ones.
    "password in a URL": r"[a-z]+://[^\s/:@'\"]*:[^\s/@'\"{}$<>()]{12,}@",
    "exchange key": r"(?i:(?:api|binance|bybit|kraken)_?(?:key|secret))[\"']?\s*[=:]\s*[\"'][A-Za-z0-9+/]{32,}={0,2}[\"']",
}
_ANY: Final = re.compile("|".join(f"(?P<f{number}>{form})" for number, form in enumerate(FORMS.values())))
# What tests make up. Each is exactly as long as the real thing, so it stands here in two parts.
MADE_UP: Final = frozenset({"123456789:" + "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"})


def tracked_files(folder: Path) -> list[Path]:
    """What git would commit; every file where the folder is no repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        return [folder / name for name in listed.stdout.decode().split("\0") if name]
    return [file for file in folder.rglob("*") if file.is_file() and ".venv" not in file.parts]


def secrets_in(folder: Path) -> Iterator[str]:
    """`file:line: kind`, never the secret itself."""
    kinds = list(FORMS)
    for file in tracked_files(folder):
        if not file.is_file() or file.stat().st_size > _BYTES_MAX or "locks" in file.parts:
            continue
        text = file.read_bytes().decode("utf-8", "replace")
        for found in _ANY.finditer(text):
            if found.group() not in MADE_UP:
                line = text.count("\n", 0, found.start()) + 1
                kind = kinds[int(str(found.lastgroup)[1:])]
                yield f"{file.relative_to(folder)}:{line}: {kind}"


if __name__ == "__main__":
    places = list(secrets_in(ROOT))
    sys.stdout.write("".join(f"{place}\n" for place in places) or "no secrets\n")
    sys.exit(1 if places else 0)
