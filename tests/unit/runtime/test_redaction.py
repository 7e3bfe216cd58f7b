"""Nothing that is secret or personal leaves through a log line or an error line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.runtime import redaction
from shared.runtime.redaction import hide, hide_chat, redact, redact_value

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
PEM = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END PRIVATE KEY-----"


@pytest.fixture(autouse=True)
def _own_knowledge(monkeypatch):
    monkeypatch.setattr(redaction, "_known", {})


@pytest.mark.parametrize(
    ("text", "secret", "stays"),
    [
        (f"https://api.telegram.org/bot{TOKEN}/sendMessage", "AAHd", "/sendMessage"),
        ("redis://:hunter2@10.0.0.3:6379/0", "hunter2", "@10.0.0.3:6379/0"),
        ("amqp://user@host/x", "user@", "@host/x"),
        ("https://example.org/v1?symbol=BTC&api_key=abcdef&x=1", "abcdef", "symbol=BTC"),
        ("GET /v5?apiKey=k3y&sig=00ff00 HTTP/1.1", "k3y", "HTTP/1.1"),
        ("Authorization: Bearer abc.DEF-123_456", "abc.DEF", "Authorization"),
        ("TELEGRAM_BOT_TOKEN=not-a-usual-one", "not-a-usual-one", "TELEGRAM_BOT_TOKEN"),
        ('{"password": "correct horse"}', "correct", "password"),
        (f'{{"private_key": "{PEM}"}}', "MIIEvQ", "private_key"),
        ("key AIza" + "SyA1234567890abcdefghijklmnopqrstuv failed", "AIzaSy", "failed"),
        ("jwt eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl sent", "eyJzdWI", "sent"),
        ("Chat -1001234567890 not found", "-100123456", "7890"),
        ('{"chat_id": 987654321, "text": "hi"}', "98765", '"text": "hi"'),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_and_the_rest_stays(text: str, secret: str, stays: str):
    cleaned = redact(text)

    assert secret not in cleaned
    assert stays in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "close_time_ms=1780000000000 price=100123.45 volume=-1001.5",
        "projects/demo/subscriptions/notifier--trade-signals-micro",
        "2026-11-20T13:05:00Z bybit-linear BTCUSDT signal 0123456789abcdef",
        "wss://stream.bybit.com/v5/public/linear",
        "the key must be set: name it in WEBHOOK_SECRET",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str):
    assert redact(text) == text


def test_nested_values_keys_and_objects_are_cleaned():
    cleaned = redact_value(
        {
            "request": {"url": f"https://x/bot{TOKEN}/getMe", "headers": [("Authorization", "Basic dXNlcjpwYXNz")]},
            "api_key": "whatever",
            "chats": ["-1001234567890/7", "console"],
            "user": 987654321,
            "error": RuntimeError(f"refused {TOKEN}"),
            "raw": TOKEN.encode(),
            "prices": [1.5, None, True],
        }
    )

    assert TOKEN not in str(cleaned)
    assert "dXNlcjpwYXNz" not in str(cleaned)
    assert cleaned["api_key"] == "(hidden)"
    assert cleaned["chats"] == ["(id …7890)/7", "console"]
    assert cleaned["user"] == "(id …4321)"
    assert cleaned["prices"] == [1.5, None, True]


def test_known_secrets_and_chats_are_found_anywhere():
    hide("s3cr3t-without-a-pattern")
    hide_chat("-4012345678")
    hide("abc")  # too short to be one

    assert redact("x s3cr3t-without-a-pattern y abc -4012345678") == "x (hidden) y abc (id …5678)"
    assert redact_value({"id": -4012345678}) == {"id": "(id …5678)"}


SCRIPT = f"""
import logging, threading, structlog
from pydantic import Field, SecretStr
from shared.runtime.logs import configure_logging
from shared.runtime.settings import ServiceSettings

class ASettings(ServiceSettings):
    api_password: SecretStr | None = Field(None, validation_alias="A_PASSWORD")

def fails():
    raise ConnectionError("https://api.telegram.org/bot{TOKEN}/getMe with pa55word-of-mine")

configure_logging(ASettings())
log = structlog.get_logger().bind(service="aggregator")
log.warning("candle_late", correlation_id="0f" * 16, symbol="BTCUSDT", message="not the event")
logging.getLogger("a.library").error("said %s", "something")
for tell in (log.exception, logging.getLogger("a.library").exception):
    try:
        fails()
    except ConnectionError:
        tell("call_failed")
thread = threading.Thread(target=fails, name="a-thread")
thread.start()
thread.join()
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, object]]:
    """What a process of its own logs to standard error."""
    environment = {**os.environ, "A_PASSWORD": "pa55word-of-mine", "GOOGLE_CLOUD_PROJECT": "a-project"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=environment, timeout=60
    )
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_json_line_is_cloud_loggings(lines):
    ours, foreign = lines[:2]

    assert list(ours)[:3] == ["severity", "message", "time"]
    assert (ours["severity"], ours["message"], ours["symbol"]) == ("WARNING", "candle_late", "BTCUSDT")
    assert str(ours["time"]).endswith("Z")
    assert ours["logging.googleapis.com/trace"] == f"projects/a-project/traces/{'0f' * 16}"
    assert (foreign["severity"], foreign["message"]) == ("ERROR", "said something")


def test_tracebacks_of_ours_of_libraries_and_of_threads_are_clean(lines):
    failures = lines[2:]

    assert [line["message"] for line in failures] == ["call_failed", "call_failed", "thread_failed"]
    for line in failures:
        assert "ConnectionError" in str(line["stack_trace"])
        assert TOKEN not in str(line)
        assert "pa55word-of-mine" not in str(line)


def test_a_fatal_error_is_one_clean_line(tmp_path: Path):
    code = (
        "from shared.runtime.service import run_service\nfrom shared.runtime.settings import ServiceSettings\n"
        "async def start(context):\n"
        f"    raise ExceptionGroup('tasks', [ValueError('no way to https://x/bot{TOKEN}/getMe\\nat all')])\n"
        "run_service('a-service', ServiceSettings, start)\n"
    )
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "LOG_FILE": str(tmp_path / "log.txt")}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=60
    )

    assert done.returncode == 1
    assert done.stderr == "a-service: no way to https://x/bot(token)/getMe at all\n"
    assert TOKEN not in (tmp_path / "log.txt").read_text()
