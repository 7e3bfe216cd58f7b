"""Writes infra/settings.yaml: which environment variables each deployable reads. Terraform refuses what is not in it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic_settings import BaseSettings

from services.aggregator.settings import Settings as AggregatorSettings
from services.ingestion.settings import IngestionSettings
from services.logic_engine.settings import Settings as LogicEngineSettings
from services.macro_engine.settings import Settings as MacroEngineSettings
from services.notifier.settings import NotifierSettings
from services.notifier.webhook import WebhookSettings

_HEAD: Final = """\
# The environment variables of every service, secrets apart: secret NAME is mounted as a file that NAME_FILE names.
# Written by `cst config env-example` from the settings classes; infra/modules/plan refuses a variable that is not here.
"""
SERVICE_SETTINGS: Final[dict[str, type[BaseSettings]]] = {
    "ingestion": IngestionSettings,
    "aggregator": AggregatorSettings,
    "logic-engine": LogicEngineSettings,
    "notifier": NotifierSettings,
    "notifier-webhook": WebhookSettings,
    "macro-engine": MacroEngineSettings,
}


def infra_settings_text() -> str:
    """The whole file."""
    lines = [_HEAD.rstrip("\n")]
    for service, settings in SERVICE_SETTINGS.items():
        variables = list(_variables(settings))
        secrets = [name for name, is_secret in variables if is_secret]
        lines += [f"{service}:", f"  secrets: [{', '.join(secrets)}]", "  variables:"]
        lines += [f"    - {name}" for name, is_secret in variables if not is_secret]
    return "\n".join(lines) + "\n"


def write_infra_settings(file: Path) -> None:
    """Write the file anew."""
    file.write_text(infra_settings_text(), encoding="utf-8")


def _variables(settings: type[BaseSettings]) -> Iterator[tuple[str, bool]]:
    """Name, and whether it is a secret."""
    for field_name, field in settings.model_fields.items():
        yield str(field.validation_alias or field_name.upper()), "SecretStr" in str(field.annotation)
