"""All that the macro engine takes from its environment; nothing else of it reads one."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, SecretStr, field_validator
from pydantic_settings import NoDecode

from services.macro_engine.core.regime import SOURCE_AGE_MS_MAX
from services.macro_engine.core.versions import TTL_MS
from services.macro_engine.handlers import MacroLimits
from shared.domain.timeframe import DAY_MS, MINUTE_MS, Timeframe
from shared.exchanges.http import RestLimits
from shared.exchanges.kraken.instruments import REST_URL
from shared.exchanges.kraken.rest import KRAKEN_LIMITS
from shared.runtime.settings import ServiceSettings

_FOMC_FILE = Path("infra/calendars/fomc.yaml")


class Settings(ServiceSettings):
    """Lists are comma-separated. The addresses of the sources may hold a key and are treated as secrets."""

    kraken_rest_url: str = Field(REST_URL, validation_alias="KRAKEN_REST_URL")
    kraken_requests_per_second: PositiveFloat = Field(
        KRAKEN_LIMITS.requests_per_second,
        validation_alias="KRAKEN_REQUESTS_PER_SECOND",
        description="The venue's public budget for one address.",
    )
    kraken_timeout_seconds: PositiveFloat = Field(
        KRAKEN_LIMITS.timeout_seconds, validation_alias="KRAKEN_TIMEOUT_SECONDS"
    )
    kraken_attempts: PositiveInt = Field(KRAKEN_LIMITS.attempts, validation_alias="KRAKEN_ATTEMPTS")
    every_seconds: PositiveFloat = Field(
        900.0, validation_alias="MACRO_EVERY_SECONDS", description="Wall time between runs of the timer."
    )
    offset_seconds: NonNegativeFloat = Field(
        20.0, validation_alias="MACRO_OFFSET_SECONDS", description="How long after the full interval the timer runs."
    )
    run_seconds_max: PositiveFloat = Field(
        240.0, validation_alias="MACRO_RUN_SECONDS_MAX", description="For all calls of the venue in one run, wall time."
    )
    bias_ttl_minutes: PositiveInt = Field(TTL_MS // MINUTE_MS, validation_alias="MACRO_BIAS_TTL_MINUTES")
    candle_age_minutes_max: PositiveInt = Field(
        Timeframe.M15.minutes,
        validation_alias="MACRO_CANDLE_AGE_MINUTES_MAX",
        description="How old the newest 15m close may be; older is stale and gives no bias.",
    )
    quotes_like: str = Field(
        "USDT=USD,USDC=USD",
        validation_alias="MACRO_QUOTES_LIKE",
        pattern=r"^([A-Z0-9]+=[A-Z0-9]+(,[A-Z0-9]+=[A-Z0-9]+)*)?$",
        description="Quotes that stand for another where the venue lacks it.",
    )
    candle_bases: Annotated[tuple[str, ...], NoDecode] = Field(
        ("SOL", "CRO"),
        validation_alias="MACRO_CANDLE_BASES",
        description="Bases that need a candle in the bias's direction.",
    )
    dxy_url: SecretStr | None = Field(None, validation_alias="MACRO_DXY_URL")
    dominance_url: SecretStr | None = Field(None, validation_alias="MACRO_DOMINANCE_URL")
    source_timeout_seconds: PositiveFloat = Field(10.0, validation_alias="MACRO_SOURCE_TIMEOUT_SECONDS")
    source_age_days_max: PositiveInt = Field(
        SOURCE_AGE_MS_MAX // DAY_MS,
        validation_alias="MACRO_SOURCE_AGE_DAYS_MAX",
        description="How long a daily close counts without a newer one.",
    )
    fomc_calendar: Path = Field(_FOMC_FILE, validation_alias="MACRO_FOMC_CALENDAR")
    calendar_warning_days: PositiveInt = Field(30, validation_alias="MACRO_CALENDAR_WARNING_DAYS")

    @field_validator("candle_bases", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    def venue_limits(self) -> RestLimits:
        """How the venue may be asked."""
        return RestLimits(
            timeout_seconds=self.kraken_timeout_seconds,
            attempts=self.kraken_attempts,
            pause_seconds_max=KRAKEN_LIMITS.pause_seconds_max,
            requests_per_second=self.kraken_requests_per_second,
        )

    def limits(self) -> MacroLimits:
        """What a run is bound to."""
        return MacroLimits(
            ttl_ms=self.bias_ttl_minutes * MINUTE_MS,
            candle_age_ms_max=self.candle_age_minutes_max * MINUTE_MS,
            source_age_ms_max=self.source_age_days_max * DAY_MS,
            calendar_warning_days=self.calendar_warning_days,
            run_seconds_max=self.run_seconds_max,
            quotes_like=self._quotes_like(),
            candle_bases=frozenset(self.candle_bases),
        )

    def _quotes_like(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for part in filter(None, self.quotes_like.split(",")):
            quote, _, like = part.partition("=")
            found[quote] = (*found.get(quote, ()), like)
        return found
