"""Settings and configuration: one clear line for every fault; secrets from wherever they may stand."""

import base64
import json
from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from cli.env_example import env_example_text
from shared.runtime.config import ConfigError, load_config
from shared.runtime.logs import redact
from shared.runtime.settings import ServiceSettings, SettingsError, load_settings, read_env_file

CONFIG = """
venues:
  bybit-linear: {symbols: [BTCUSDT, ETHUSDT]}
strategies:
  - {name: rsi_divergence, parameters: {mode: extreme}}
"""


class ASettings(ServiceSettings):
    telegram_bot_token: SecretStr | None = Field(None, validation_alias="TELEGRAM_BOT_TOKEN")
    limit: int = Field(5, validation_alias="A_LIMIT", gt=0)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("TELEGRAM_BOT_TOKEN", "TELEGRAM_BOT_TOKEN_FILE", "TELEGRAM_BOT_TOKEN_B64", "SECRETS_FILE", "A_LIMIT"):
        monkeypatch.delenv(name, raising=False)


def token(settings: ASettings) -> str | None:
    return settings.telegram_bot_token.get_secret_value() if settings.telegram_bot_token else None


def test_a_secret_may_stand_in_four_places(tmp_path, monkeypatch):
    assert token(load_settings(ASettings)) is None

    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "plain")
    assert token(load_settings(ASettings)) == "plain"

    secrets = tmp_path / "secrets.json"
    secrets.write_text(json.dumps({"telegram_bot_token": "from-json"}))
    monkeypatch.setenv("SECRETS_FILE", str(secrets))
    assert token(load_settings(ASettings)) == "from-json"

    monkeypatch.setenv("TELEGRAM_BOT_TOKEN_B64", base64.b64encode(b"from-base64").decode())
    assert token(load_settings(ASettings)) == "from-base64"

    (tmp_path / "token").write_text("from-file\n")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN_FILE", str(tmp_path / "token"))
    assert token(load_settings(ASettings)) == "from-file"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("A_LIMIT", "-3", r"A_LIMIT: Input should be greater than 0, was '-3'"),
        ("A_LIMIT", "many", r"A_LIMIT: .*integer.*, was 'many'"),
        ("TELEGRAM_BOT_TOKEN_FILE", "absent", r"TELEGRAM_BOT_TOKEN_FILE names a file that cannot be read"),
        ("TELEGRAM_BOT_TOKEN_B64", "%%%", r"TELEGRAM_BOT_TOKEN_B64 must be base64"),
        ("LOG_LEVEL", "LOUD", r"LOG_LEVEL: .*was 'LOUD'"),
    ],
)
def test_a_malformed_setting_is_one_line_that_names_it(monkeypatch, name, value, text):
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match=text) as caught:
        load_settings(ASettings)

    assert "\n" not in str(caught.value)


def test_a_secret_never_shows_in_an_error_or_a_log(monkeypatch):
    monkeypatch.setenv("SECRETS_FILE", "absent.json")

    with pytest.raises(SettingsError, match="SECRETS_FILE"):
        load_settings(ASettings)
    address = "https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/sendMessage"
    assert "AAHd" not in redact(address)
    assert redact("redis://user:hunter2@host/0") == "redis://(credentials)@host/0"


def test_the_env_file_fills_what_is_not_set(tmp_path, monkeypatch):
    (tmp_path / ".env").write_text("A_LIMIT=7\nLOG_LEVEL=DEBUG\n")
    monkeypatch.setenv("A_LIMIT", "9")
    monkeypatch.delenv("LOG_LEVEL", raising=False)

    read_env_file(Path(".env"))
    settings = load_settings(ASettings)
    monkeypatch.delenv("LOG_LEVEL")

    assert (settings.limit, settings.log_level) == (9, "DEBUG")


def test_the_shipped_configuration_is_valid():
    config = load_config(Path(__file__).parents[2] / "config" / "tracker.yaml")

    assert len(config.venues["bybit-linear"].symbols) == 9
    assert [strategy.name for strategy in config.enabled_strategies] == ["rsi_divergence"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("venues:", "venus:"), r"venues: Field required.*venus: Extra inputs are not permitted"),
        (("[BTCUSDT, ETHUSDT]", "[BTCUSDT, BTCUSDT]"), r"symbols are listed twice: BTCUSDT"),
        (("[BTCUSDT, ETHUSDT]", "['BTC#USDT']"), r"venues\.bybit-linear\.symbols\.0"),
        (("[BTCUSDT, ETHUSDT]", "[]"), r"at least 1 item"),
        (("rsi_divergence,", "rsi_divergence, timeframe: 7m,"), r"strategies\.0\.timeframe"),
        (("strategies:", "strategies: ["), r"not valid YAML"),
    ],
)
def test_a_wrong_configuration_names_file_place_and_rule(tmp_path, change, text):
    file = tmp_path / "tracker.yaml"
    file.write_text(CONFIG.replace(*change))

    with pytest.raises(ConfigError, match=text) as caught:
        load_config(file)

    assert str(file) in str(caught.value)


def test_a_missing_configuration_says_which_variable_names_it(tmp_path):
    with pytest.raises(ConfigError, match="TRACKER_CONFIG"):
        load_config(tmp_path / "absent.yaml")


def test_the_example_of_the_environment_is_complete():
    file = Path(__file__).parents[2] / ".env.example"

    assert file.read_text(encoding="utf-8") == env_example_text(), "run `cst config env-example` and commit the file"
