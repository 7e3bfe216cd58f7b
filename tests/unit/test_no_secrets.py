"""No secret is in the repository, and the search would find one of every kind."""

import string
from pathlib import Path

import pytest

from tests.support.secret_scan import FORMS, ROOT, secrets_in

LETTERS = (string.ascii_letters + string.digits) * 2
# Put together here, so that this file holds none itself.
SAMPLES = {
    "Telegram bot token": "12345678" + ":AA" + LETTERS[:33],
    "private key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + LETTERS[:60],
    "Google API key": "AI" + "za" + LETTERS[:35],
    "Google OAuth token": "ya29" + "." + LETTERS[:40],
    "Google service account": '"private_key' + '_id": "' + "0123456789" * 4 + '"',
    "Amazon key": "AK" + "IA" + "ABCDEFGHIJKLMNOP",
    "GitHub token": "gh" + "p_" + LETTERS[:36],
    "Slack token": "xo" + "xb-" + LETTERS[:24],
    "PyPI token": "pypi-" + "AgEI" + LETTERS[:60],
    "JSON web token": "ey" + "J" + LETTERS[:20] + ".ey" + "J" + LETTERS[:20] + "." + LETTERS[:30],
    "password in a URL": "redis:" + "//user:" + LETTERS[:16] + "@10.0.0.3/0",
    "exchange key": "BYBIT_API" + '_KEY = "' + LETTERS[:36] + '"',
}


def test_nothing_tracked_is_a_secret():
    assert list(secrets_in(ROOT)) == []


@pytest.mark.parametrize("kind", list(FORMS))
def test_each_kind_would_be_found(kind: str, tmp_path: Path):
    (tmp_path / "a.txt").write_text(f"one\ntwo\nthree {SAMPLES[kind]} four\n")

    assert list(secrets_in(tmp_path)) == [f"a.txt:3: {kind}"]
