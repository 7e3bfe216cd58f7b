"""Writes .env.example from the settings classes, so that it is complete by construction."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings

from services.aggregator.settings import Settings as AggregatorSettings
from services.ingestion.settings import IngestionSettings
from services.logic_engine.settings import Settings as LogicEngineSettings
from services.macro_engine.settings import Settings as MacroEngineSettings
from services.notifier.settings import NotifierSettings
from services.simulator.settings import Settings as SimulatorSettings
from shared.runtime.settings import ServiceSettings

_HEAD = """\
# Copy to .env and change what you need; every line shows the default. Written by `cst config env-example`.
#
# A secret NAME may also stand in NAME_FILE (a path), NAME_B64 (base64), or in the JSON file that SECRETS_FILE names;
# the first that is set wins, in the order NAME_FILE, NAME_B64, SECRETS_FILE, NAME. Never commit the copy.

# --- Telegram: with both, `./start_services.sh live` sends there; without, messages are printed
#TELEGRAM_BOT_TOKEN=
#TELEGRAM_CHAT_ID=

# --- Starting
#DEMO_SPEED=20  # Market seconds per second in the demo.
#PYTHON=python3  # The interpreter that setup uses, 3.11 or newer.
#SECRETS_FILE=
"""
_GROUPS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("Every service", ServiceSettings),
    ("Ingestion", IngestionSettings),
    ("Aggregator", AggregatorSettings),
    ("Logic engine", LogicEngineSettings),
    ("Macro engine", MacroEngineSettings),
    ("Notifier", NotifierSettings),
    ("Simulator (the demo's market)", SimulatorSettings),
)
_SHOWN_ABOVE = {"TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"}


def env_example_text() -> str:
    """The whole file."""
    seen = set(_SHOWN_ABOVE)
    lines = [_HEAD.rstrip("\n")]
    for title, settings in _GROUPS:
        lines += ["", f"# --- {title}"]
        for name, value, description in _variables(settings):
            if name not in seen:
                seen.add(name)
                lines.append(f"#{name}={value}" + (f"  # {description}" if description else ""))
    return "\n".join(lines) + "\n"


def write_env_example(file: Path) -> None:
    """Write the file anew."""
    file.write_text(env_example_text(), encoding="utf-8")


def _variables(settings: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    prefix = str(settings.model_config.get("env_prefix") or "")
    for field_name, field in settings.model_fields.items():
        name = str(field.validation_alias or f"{prefix}{field_name}".upper())
        default = None if field.default_factory is not None else field.default
        yield name, _text(default), field.description or ""


def _text(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, tuple):
        return ",".join(str(item) for item in default)
    return str(default)
