"""All that the logic engine takes from its environment; nothing else of it reads one."""

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt

from services.logic_engine.handlers import ENTRY_FRESHNESS_MS, GAP_PATIENCE_MS
from shared.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Limits in market time unless they say otherwise."""

    candles_subscription: str = Field(
        "logic-engine--candles-closed", validation_alias="LOGIC_ENGINE_CANDLES_SUBSCRIPTION"
    )
    bias_subscription: str = Field(
        "logic-engine--macro-bias-updates", validation_alias="LOGIC_ENGINE_BIAS_SUBSCRIPTION"
    )
    events_per_pull_max: PositiveInt = Field(1_000, validation_alias="LOGIC_ENGINE_EVENTS_PER_PULL_MAX")
    entry_freshness_ms: PositiveInt = Field(
        ENTRY_FRESHNESS_MS,
        validation_alias="ENTRY_FRESHNESS_MS",
        description="A Decision made later after its close opens nothing.",
    )
    gap_patience_ms: PositiveInt = Field(
        GAP_PATIENCE_MS,
        validation_alias="GAP_PATIENCE_MS",
        description="How far a symbol must have moved on before a minute that never came is passed over.",
    )
    candle_freshness_seconds: PositiveFloat = Field(
        150.0,
        validation_alias="CANDLE_FRESHNESS_SECONDS",
        description="Wall time without any candle of an exchange (one comes every minute) until it is announced.",
    )
    sweep_every_seconds: PositiveFloat = Field(15.0, validation_alias="SWEEP_EVERY_SECONDS", description="Wall time.")
    lease_ttl_ms: PositiveInt = Field(10_000, ge=1_000, validation_alias="LOGIC_ENGINE_LEASE_TTL_MS")
    status_every_seconds: PositiveFloat = Field(2.0, validation_alias="STATUS_EVERY_SECONDS")
    kernel_cache_dir: Path = Field(
        Path(".cache/kernels"),
        validation_alias="NUMBA_CACHE_DIR",
        description="Where compiled kernels are kept; must be writable, or Numba compiles anew at every start.",
    )
    require_compiled: bool = Field(
        default=False,
        validation_alias="REQUIRE_COMPILED",
        description="Refuse to start when a kernel is not in the cache.",
    )
