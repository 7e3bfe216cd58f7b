"""All that the simulator takes from its environment; nothing else reads it."""

import time
from pathlib import Path
from typing import Annotated

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from services.simulator.core.day_plan import SLOTS_ALLOWED
from services.simulator.core.instruments import DEFAULT_SYMBOLS, instrument_of


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class Settings(BaseSettings):
    """Settings of the simulator. Seconds and milliseconds are wall time unless the description says market time."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="SIMULATOR_", populate_by_name=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: NonNegativeInt = Field(
        8790, le=65_535, description="Port of WebSocket, REST and control; 0 takes a free one."
    )
    seed: int = Field(1, description="Same seed, same market.")
    tape: Path | None = Field(None, description="CSV or CSV.gz of recorded trades to serve instead of the generator.")
    symbols: Annotated[tuple[str, ...], NoDecode] = Field(
        DEFAULT_SYMBOLS, description="Comma-separated. With a tape and no value here, all symbols of the tape."
    )
    speed: PositiveFloat = Field(1.0, le=1_000, description="Market seconds per wall second.")
    origin_wall_ms: int = Field(
        default_factory=_now_ms,
        validation_alias="MARKET_CLOCK_ORIGIN_WALL_MS",
        description="Wall time at which market time was the origin below; default: the start of the process.",
    )
    origin_market_ms: int = Field(
        default_factory=_now_ms,
        validation_alias="MARKET_CLOCK_ORIGIN_MARKET_MS",
        description="Market time at the origin; default: the start of the process.",
    )
    event_every_minutes: PositiveInt = Field(
        30, description=f"Market minutes between sharp moves of a symbol; one of {SLOTS_ALLOWED}."
    )
    history_days: PositiveInt = Field(
        430, le=4_000, description="Days of klines before the origin: 60 weeks, the longest window of a strategy."
    )

    pump_interval_ms: PositiveInt = Field(50, description="How often trades are sent.")
    ticker_interval_ms: PositiveInt = Field(100, description="Ticker deltas of busy symbols; quiet ones get a third.")
    kline_interval_ms: PositiveInt = Field(1_000, description="Updates of the forming kline.")
    ping_timeout_s: NonNegativeFloat = Field(60.0, description='Drop a client without {"op":"ping"} so long; 0 never.')
    frames_queued_max: PositiveInt = Field(20_000, description="A client that is this many frames behind is dropped.")

    late_trade_every_s: NonNegativeFloat = Field(0.0, description="Market seconds; 0 is none.")
    late_trade_delay_s: PositiveFloat = Field(90.0, le=86_400, description="How late, in market seconds.")
    duplicate_every_s: NonNegativeFloat = Field(0.0, description="Market seconds; 0 is none.")
    bad_frame_every_s: NonNegativeFloat = Field(0.0, description="Market seconds; 0 is none.")
    cut_every_s: NonNegativeFloat = Field(0.0, description="Market seconds; 0 is none.")
    cut_refuse_s: NonNegativeFloat = Field(0.0, le=86_400, description="How long a scheduled cut refuses clients.")

    @field_validator("symbols", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("event_every_minutes")
    @classmethod
    def _divides_the_day(cls, value: int) -> int:
        if value not in SLOTS_ALLOWED:
            raise ValueError(f"must be one of {SLOTS_ALLOWED}, was {value}")
        return value

    @field_validator("symbols")
    @classmethod
    def _exist(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value or len(set(value)) != len(value):
            raise ValueError(f"must name each symbol once, was {value}")
        if info.data.get("tape") is None:
            for symbol in value:
                instrument_of(symbol)
        return value
