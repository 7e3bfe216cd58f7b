"""All that the aggregator takes from its environment; nothing else of it reads one."""

from pathlib import Path

from pydantic import Field, PositiveFloat, PositiveInt

from services.aggregator.core.audit_plan import AuditLimits
from services.aggregator.core.limits import Limits
from services.aggregator.core.tape_budget import TapeLimits
from services.aggregator.handlers import SEQUENCE_PATIENCE_MS, SYMBOL_BUDGET_MS
from shared.domain.timeframe import MINUTE_MS
from shared.exchanges.venue import BINANCE_SPOT, BYBIT_LINEAR
from shared.runtime.settings import ServiceSettings

_DEFAULT = Limits()
_AUDIT = AuditLimits()
_TAPE = TapeLimits()


class Settings(ServiceSettings):
    """Limits in market time unless they say otherwise."""

    rest_url: str | None = Field(
        None, validation_alias="BYBIT_REST_URL", description="Overrides the configuration and the venue's own address."
    )
    binance_rest_url: str | None = Field(None, validation_alias="BINANCE_REST_URL")
    batches_per_pull_max: PositiveInt = Field(
        10,
        validation_alias="AGGREGATOR_BATCHES_PER_PULL_MAX",
        description="Appended together; a shutdown finishes them first. A batch of a busy market holds thousands of trades.",
    )
    hole_timeout_ms: PositiveInt = Field(
        _DEFAULT.hole_timeout_ms,
        validation_alias="HOLE_TIMEOUT_MS",
        description="How far the watermark passes an uncovered minute before it closes without proof.",
    )
    correction_horizon_hours: PositiveInt = Field(
        48, le=71, validation_alias="CORRECTION_HORIZON_HOURS", description="Below the tape's retention of 72 hours."
    )
    backfill_candles: PositiveInt = Field(_DEFAULT.backfill_candles, validation_alias="BACKFILL_CANDLES")
    repair_minutes_max: PositiveInt = Field(_DEFAULT.repair_minutes_max, validation_alias="REPAIR_MINUTES_MAX")
    identity_minutes: PositiveInt = Field(_DEFAULT.identity_minutes, validation_alias="IDENTITY_MINUTES")
    rest_deadline_seconds: PositiveFloat = Field(
        10.0, validation_alias="REST_DEADLINE_SECONDS", description="Wall time; one round of klines takes no longer."
    )
    repair_every_seconds: PositiveFloat = Field(30.0, validation_alias="REPAIR_EVERY_SECONDS")
    lease_ttl_ms: PositiveInt = Field(
        4_000,
        ge=1_000,
        validation_alias="AGGREGATOR_LEASE_TTL_MS",
        description="After a kill, so long nobody is active.",
    )
    feed_freshness_seconds: PositiveFloat = Field(
        30.0,
        validation_alias="FEED_FRESHNESS_SECONDS",
        description="Wall time without any batch from ingestion (its heartbeats come every second) until it is announced.",
    )
    symbol_freshness_ms: PositiveInt = Field(
        SYMBOL_BUDGET_MS,
        validation_alias="SYMBOL_FRESHNESS_MS",
        description="Market time a symbol may lag behind its exchange until it is announced as blind.",
    )
    sequence_gap_seconds: PositiveFloat = Field(
        SEQUENCE_PATIENCE_MS / 1000,
        validation_alias="SEQUENCE_GAP_SECONDS",
        description="Wall time a session's batch may be missing on the bus until ingestion is asked to fetch its trades again.",
    )
    audit_every_seconds: PositiveFloat = Field(
        60.0, validation_alias="AUDIT_EVERY_SECONDS", description="Wall time between rounds of comparing with klines."
    )
    audit_requests_max: PositiveInt = Field(
        _AUDIT.requests_max, validation_alias="AUDIT_REQUESTS_MAX", description="Klines asked for in one round."
    )
    audit_span_minutes: PositiveInt = Field(_AUDIT.span_minutes, validation_alias="AUDIT_SPAN_MINUTES")
    audit_roll_up_span_minutes: PositiveInt = Field(
        _AUDIT.roll_up_span_minutes, validation_alias="AUDIT_ROLL_UP_SPAN_MINUTES"
    )
    audit_missing_rounds: PositiveInt = Field(
        _AUDIT.missing_rounds,
        validation_alias="AUDIT_MISSING_ROUNDS",
        description="How often a kline that the venue does not give is asked for until its lack is told.",
    )
    audit_settle_ms: PositiveInt = Field(
        _AUDIT.settle_ms, validation_alias="AUDIT_SETTLE_MS", description="A kline is believed so long after its close."
    )
    tape_hours_max: PositiveInt = Field(
        _TAPE.hours_max,
        le=72,
        validation_alias="TAPE_HOURS_MAX",
        description="How long trades are kept, market time; the store itself drops what was written 72 hours ago.",
    )
    tape_bytes_max: PositiveInt = Field(
        _TAPE.bytes_max,
        validation_alias="TAPE_BYTES_MAX",
        description="Keys and values of all trades kept; beyond it the oldest hours go, whatever their age.",
    )
    prune_every_seconds: PositiveFloat = Field(60.0, validation_alias="PRUNE_EVERY_SECONDS")
    status_every_seconds: PositiveFloat = Field(2.0, validation_alias="STATUS_EVERY_SECONDS")
    kernel_cache_dir: Path = Field(
        Path(".cache/kernels"),
        validation_alias="NUMBA_CACHE_DIR",
        description="Where compiled kernels are kept; must be writable, or Numba compiles anew at every start.",
    )

    def rest_urls(self) -> dict[str, str | None]:
        """Addresses that replace the configuration's and the venues' own."""
        return {BYBIT_LINEAR: self.rest_url, BINANCE_SPOT: self.binance_rest_url}

    def audit_limits(self) -> AuditLimits:
        """The limits that the auditor keeps."""
        return AuditLimits(
            settle_ms=self.audit_settle_ms,
            span_minutes=self.audit_span_minutes,
            requests_max=self.audit_requests_max,
            roll_up_span_minutes=self.audit_roll_up_span_minutes,
            missing_rounds=self.audit_missing_rounds,
        )

    def tape_limits(self) -> TapeLimits:
        """How much of the tape is kept."""
        return TapeLimits(hours_max=self.tape_hours_max, bytes_max=self.tape_bytes_max)

    def limits(self) -> Limits:
        """The limits that the cores keep."""
        return Limits(
            hole_timeout_ms=self.hole_timeout_ms,
            correction_horizon_ms=self.correction_horizon_hours * 60 * MINUTE_MS,
            backfill_candles=self.backfill_candles,
            repair_minutes_max=self.repair_minutes_max,
            identity_minutes=self.identity_minutes,
        )
