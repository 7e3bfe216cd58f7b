"""Settings every service shares, and where secrets may come from.

One frozen class per service inherits ServiceSettings; nothing else reads the environment. A secret NAME may stand in
NAME_FILE (a path), NAME_B64, the JSON file that SECRETS_FILE names (under its name in capitals or lower case), or NAME;
the first that is set wins.
"""

import base64
import binascii
import os
import socket
import tempfile
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import msgspec
from dotenv import dotenv_values
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.domain.errors import PermanentError
from shared.runtime.clock import ScaledClock


class SettingsError(PermanentError):
    """A setting is missing or malformed; the text names the variable and what to do."""


class SecretsSource(PydanticBaseSettingsSource):
    """Fills SecretStr fields from NAME_FILE, NAME_B64 or SECRETS_FILE."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The secret's text, None where no source has it."""
        name = _variable_of(field_name, field)
        return read_secret(name), name, False

    def __call__(self) -> dict[str, Any]:
        """All secrets found, by variable name."""
        values: dict[str, Any] = {}
        for field_name, field in self.settings_cls.model_fields.items():
            if "SecretStr" in str(field.annotation):
                value, name, _ = self.get_field_value(field, field_name)
                if value is not None:
                    values[name] = value
        return values


def read_secret(name: str) -> str | None:
    """The secret from NAME_FILE, NAME_B64 or SECRETS_FILE; None where none is set. Raises SettingsError on a bad one."""
    if path := os.environ.get(f"{name}_FILE"):
        return _read_file(path, f"{name}_FILE").strip()
    if encoded := os.environ.get(f"{name}_B64"):
        try:
            return base64.b64decode(encoded, validate=True).decode().strip()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise SettingsError(f"{name}_B64 must be base64 of UTF-8 text: {error}") from error
    if path := os.environ.get("SECRETS_FILE"):
        try:
            secrets = msgspec.json.decode(_read_file(path, "SECRETS_FILE"), type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise SettingsError(f"SECRETS_FILE must hold a JSON object of texts: {error} ({path})") from error
        return secrets.get(name, secrets.get(name.lower()))
    return None


def _read_file(path: str, variable: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{variable} names a file that cannot be read: {error}") from error


class ServiceSettings(BaseSettings):
    """What every process takes from its environment."""

    model_config = SettingsConfigDict(frozen=True, populate_by_name=True, extra="ignore", env_ignore_empty=True)

    data_dir: Path = Field(Path("data"), validation_alias="DATA_DIR", description="Folder of all embedded state.")
    tracker_config: Path = Field(Path("config/tracker.yaml"), validation_alias="TRACKER_CONFIG")
    log_level: str = Field("INFO", validation_alias="LOG_LEVEL", pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_file: Path | None = Field(
        None, validation_alias="LOG_FILE", description="Rotated by size; else standard error."
    )
    log_format: Literal["auto", "json", "pretty"] = Field(
        "auto", validation_alias="LOG_FORMAT", description="auto: pretty on a terminal, else Cloud Logging's JSON."
    )
    log_file_bytes_max: PositiveInt = Field(5_000_000, validation_alias="LOG_FILE_BYTES_MAX")
    log_files_kept: PositiveInt = Field(3, validation_alias="LOG_FILES_KEPT")
    instance_id: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}", validation_alias="INSTANCE_ID"
    )
    market_clock_origin_wall_ms: int = Field(0, validation_alias="MARKET_CLOCK_ORIGIN_WALL_MS")
    market_clock_origin_market_ms: int = Field(0, validation_alias="MARKET_CLOCK_ORIGIN_MARKET_MS")
    market_clock_speed: PositiveFloat = Field(1.0, validation_alias="MARKET_CLOCK_SPEED")
    shutdown_seconds_max: PositiveFloat = Field(
        7.5, validation_alias="SHUTDOWN_SECONDS_MAX", description="Then the process is gone within 10 s of SIGTERM."
    )
    status_ttl_seconds: PositiveInt = Field(60, validation_alias="STATUS_TTL_SECONDS")
    http_port: int | None = Field(
        None,
        validation_alias="HTTP_PORT",
        ge=1,
        le=65_535,
        description="Answers /health, /ready and /metrics; empty: no port. The supervisor counts on from it.",
    )
    http_host: str = Field("127.0.0.1", validation_alias="HTTP_HOST", description="0.0.0.0 in a container.")
    otlp_endpoint: str | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        pattern="^https?://.+",
        description="Metrics are pushed there (OTLP over HTTP); empty: nowhere.",
    )
    otlp_interval_ms: PositiveInt = Field(60_000, validation_alias="OTEL_METRIC_EXPORT_INTERVAL")
    metrics_every_seconds: PositiveFloat = Field(
        10.0, validation_alias="METRICS_EVERY_SECONDS", description="How often backlog and dead letters are counted."
    )

    secrets_check_seconds: PositiveFloat = Field(
        30.0,
        validation_alias="SECRETS_CHECK_SECONDS",
        description="How often NAME_FILE is read again for a new secret.",
    )

    bus: Literal["auto", "sqlite", "pubsub"] = Field("auto", validation_alias="BUS", description="See adapters.py.")
    store: Literal["auto", "sqlite", "bigtable"] = Field("auto", validation_alias="STORE")
    cache: Literal["auto", "sqlite", "redis"] = Field("auto", validation_alias="CACHE")
    google_cloud_project: str | None = Field(None, validation_alias="GOOGLE_CLOUD_PROJECT")
    pubsub_project_id: str | None = Field(None, validation_alias="PUBSUB_PROJECT_ID")
    pubsub_emulator_host: str | None = Field(None, validation_alias="PUBSUB_EMULATOR_HOST")
    bigtable_instance: str | None = Field(None, validation_alias="BIGTABLE_INSTANCE")
    bigtable_emulator_host: str | None = Field(None, validation_alias="BIGTABLE_EMULATOR_HOST")
    redis_url: SecretStr | None = Field(None, validation_alias="REDIS_URL", description="May hold a password.")

    @property
    def database_file(self) -> Path:
        """The one embedded file."""
        return self.data_dir / "tracker.db"

    @property
    def is_observed(self) -> bool:
        """Whether anybody looks at metrics."""
        return self.http_port is not None or self.otlp_endpoint is not None

    def clock(self) -> ScaledClock:
        """Wall time of this machine; market time scaled only beside an accelerated simulator."""
        return ScaledClock(
            origin_wall_ms=self.market_clock_origin_wall_ms,
            origin_market_ms=self.market_clock_origin_market_ms,
            speed=self.market_clock_speed,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first (tests), then secret files, then the environment."""
        del dotenv_settings, file_secret_settings  # .env is read once, into the environment
        return init_settings, SecretsSource(settings_cls), env_settings

    @classmethod
    def load(cls) -> Self:
        """Read `.env` (for variables not set otherwise) and the environment; raise SettingsError in one line."""
        return load_settings(cls)


SettingsType = TypeVar("SettingsType", bound=ServiceSettings)


def load_settings(settings_class: type[SettingsType]) -> SettingsType:
    """Build the settings; every fault becomes one line that names the variable, the rule and the value."""
    read_env_file(Path(".env"))
    try:
        return settings_class()
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            + ("" if fault["type"] == "missing" else f", was {_shown(fault)!r}")
            for fault in error.errors()
        ]
        raise SettingsError(f"fix these settings (environment or .env): {'; '.join(faults)}") from error


def require_writable(folder: Path, variable: str) -> None:
    """Make the folder where it is missing; raise SettingsError where nothing can be written into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SettingsError(
            f"{variable}: the folder {folder} cannot be written ({error.strerror}); name one that can"
        ) from error


def read_env_file(path: Path) -> None:
    """Put the file's variables into the environment where they are not set."""
    if path.is_file():
        for name, value in dotenv_values(path).items():
            if value:
                os.environ.setdefault(name, value)


def _shown(fault: Any) -> object:
    """The value in a fault, unless the variable looks like a secret."""
    name = str(fault["loc"][-1]).upper() if fault["loc"] else ""
    return "(hidden)" if any(word in name for word in ("TOKEN", "SECRET", "PASSWORD", "KEY")) else fault["input"]


def _variable_of(field_name: str, field: FieldInfo) -> str:
    return str(field.validation_alias) if field.validation_alias else field_name.upper()
