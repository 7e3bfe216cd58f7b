"""config/tracker.yaml: what the user chooses. Checked against this schema when a service starts and by `cst config check`."""

from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe

Name = Annotated[str, StringConstraints(pattern=r"^[^#:\s]+$")]


class ConfigError(PermanentError):
    """The configuration file is missing or breaks the schema; the text names file, place and rule."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VenueConfig(_Section):
    """One venue and the symbols to follow there. The addresses override the venue's own (a simulator, a proxy)."""

    symbols: tuple[Name, ...] = Field(min_length=1)
    websocket_url: str | None = None
    rest_url: str | None = None

    @model_validator(mode="after")
    def _unique(self) -> "VenueConfig":
        repeated = sorted({symbol for symbol in self.symbols if self.symbols.count(symbol) > 1})
        if repeated:
            raise ValueError(f"symbols are listed twice: {', '.join(repeated)}")
        return self


class StrategyConfig(_Section):
    """One strategy with its parameters; names and ranges of parameters are the strategy's own and checked by it.

    kind: which strategy, where it runs under another name (one kind may run several times, on several timeframes).
    symbols: parameters that replace the others for a symbol.
    """

    name: Name
    kind: Name | None = None
    enabled: bool = True
    timeframe: Timeframe = Timeframe.M1
    parameters: dict[str, Any] = Field(default_factory=dict)
    symbols: dict[Name, dict[str, Any]] = Field(default_factory=dict)
    max_age_candles: int | None = Field(default=240, gt=0)
    on_opposite: Literal["ignore", "close"] = "ignore"


class QuietConfig(_Section):
    """Hours of the day, in the chat's time zone, in which only exits come; over midnight where start is later."""

    start: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
    end: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]

    @model_validator(mode="after")
    def _differ(self) -> "QuietConfig":
        if self.start == self.end:
            raise ValueError("start and end of quiet hours must differ")
        return self


class DigestConfig(_Section):
    """When more than this many messages (exits aside) come within so many seconds, digests tell them."""

    more_than: int = Field(20, gt=0)
    seconds: int = Field(60, gt=0)


ChatKind = Literal["signals", "alerts", "macro", "system", "platform"]


class ChatConfig(_Section):
    """Where messages go, and which. Without an id: the chat that TELEGRAM_CHAT_ID names; topic: of a forum group.

    kinds: `platform` is starts and stops. strategies, symbols, timeframes, score_min filter signals and alerts; empty lists let everything through.
    exit_notice: by default `edit_and_reply`, in channels `edit`. *_expire_minutes: unsent that long, it is dropped.
    """

    name: Name
    id: int | str | None = None
    topic: int | None = Field(default=None, gt=0)
    language: str = ""
    time_zone: str = "UTC"
    kinds: tuple[ChatKind, ...] = ("signals", "alerts", "macro", "system", "platform")
    strategies: tuple[Name, ...] = ()
    symbols: tuple[Name, ...] = ()
    timeframes: tuple[Timeframe, ...] = ()
    score_min: float | None = Field(default=None, ge=0, le=100)
    exit_notice: Literal["edit", "edit_and_reply"] | None = None
    pictures: bool = True
    quiet_hours: QuietConfig | None = None
    digest: DigestConfig | None = DigestConfig()
    entries_expire_minutes: float | None = Field(default=None, gt=0)
    others_expire_minutes: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _zone_exists(self) -> "ChatConfig":
        if self.time_zone == "UTC":  # needs no time zone database
            return self
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            if not available_timezones():  # an image without the database: only the notifier needs it, and has it
                return self
            raise ValueError(f"time_zone must be a name like Asia/Ho_Chi_Minh, was {self.time_zone!r}") from error
        return self


class RolesConfig(_Section):
    """Telegram user ids; each role may do what the one before it may. An empty list means nobody."""

    viewer: tuple[int, ...] = ()
    trader: tuple[int, ...] = ()
    admin: tuple[int, ...] = ()


class TrackerConfig(_Section):
    """The whole file."""

    venues: dict[Name, VenueConfig] = Field(min_length=1)
    strategies: tuple[StrategyConfig, ...] = Field(min_length=1)
    chats: tuple[ChatConfig, ...] = (ChatConfig(name="default"),)
    roles: RolesConfig = RolesConfig()

    @model_validator(mode="after")
    def _unique(self) -> "TrackerConfig":
        for kind in ("strategies", "chats"):
            names = [item.name for item in getattr(self, kind)]
            if len(names) != len(set(names)):
                raise ValueError(f"names of {kind} must be unique, were {', '.join(names)}")
        return self

    @property
    def enabled_strategies(self) -> tuple[StrategyConfig, ...]:
        """Those that run."""
        return tuple(strategy for strategy in self.strategies if strategy.enabled)


def load_config(path: Path | str) -> TrackerConfig:
    """Read and check the file; raises ConfigError with every fault, one per line after the file's name."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror} (TRACKER_CONFIG names the file)") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from error
    try:
        return TrackerConfig.model_validate(content)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: {fault['msg']}, was {_short(fault['input'])}"
            for fault in error.errors()
        ]
        raise ConfigError(f"{path}: {'; '.join(faults)}") from error


def _short(value: object, length_max: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= length_max else text[:length_max] + "…"
