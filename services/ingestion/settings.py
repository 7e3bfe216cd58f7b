"""All that ingestion takes from its environment; nothing else of it reads os.environ."""

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from services.ingestion.core.session import SessionLimits
from services.ingestion.core.venue_clock import TimeLimits
from services.ingestion.core.window import WindowLimits
from services.ingestion.refiller import RefillLimits
from shared.exchanges.venue import BINANCE_SPOT
from shared.exchanges.websocket import FeedLimits
from shared.runtime.settings import ServiceSettings


class IngestionSettings(ServiceSettings):
    """Addresses, windows, deadlines, bounds. Times are wall time unless they say market."""

    exchange: str | None = Field(
        None,
        validation_alias="INGESTION_EXCHANGE",
        description="Which of the configuration's venues this process follows; needed where it names several.",
    )
    websocket_url: str | None = Field(None, validation_alias="BYBIT_WEBSOCKET_URL")
    rest_url: str | None = Field(None, validation_alias="BYBIT_REST_URL")
    binance_websocket_url: str | None = Field(None, validation_alias="BINANCE_WEBSOCKET_URL")
    binance_rest_url: str | None = Field(None, validation_alias="BINANCE_REST_URL")
    clock_symbol: str | None = Field(None, validation_alias="INGESTION_CLOCK_SYMBOL")

    window_ms: PositiveInt = Field(250, validation_alias="INGESTION_WINDOW_MS")
    window_trades_max: PositiveInt = Field(5_000, validation_alias="INGESTION_WINDOW_TRADES_MAX")
    heartbeat_ms: PositiveInt = Field(1_000, validation_alias="INGESTION_HEARTBEAT_MS")
    lateness_ms: NonNegativeInt = Field(1_000, validation_alias="INGESTION_LATENESS_MS", description="Market time.")
    trade_ahead_max_ms: PositiveInt = Field(300_000, validation_alias="INGESTION_TRADE_AHEAD_MAX_MS")
    trade_behind_max_ms: PositiveInt = Field(3_600_000, validation_alias="INGESTION_TRADE_BEHIND_MAX_MS")

    ping_seconds: PositiveFloat = Field(20.0, validation_alias="INGESTION_PING_SECONDS")
    silence_seconds: PositiveFloat = Field(10.0, validation_alias="INGESTION_SILENCE_SECONDS")
    acknowledge_seconds: PositiveFloat = Field(10.0, validation_alias="INGESTION_ACKNOWLEDGE_SECONDS")
    retry_seconds_max: PositiveFloat = Field(30.0, validation_alias="INGESTION_RETRY_SECONDS_MAX")
    freshness_budget_ms: PositiveInt = Field(10_000, validation_alias="INGESTION_FRESHNESS_BUDGET_MS")
    clock_skew_max_ms: PositiveInt = Field(
        30_000,
        validation_alias="INGESTION_CLOCK_SKEW_MAX_MS",
        description="Market time the venue's times may lie from our clock before it is announced.",
    )
    refill_seconds_max: PositiveFloat = Field(60.0, validation_alias="INGESTION_REFILL_SECONDS_MAX")
    first_refill_ms: NonNegativeInt = Field(
        120_000,
        validation_alias="INGESTION_FIRST_REFILL_MS",
        description="Market time before a first start that is filled from the venue's newest trades.",
    )

    queue_batches_max: PositiveInt = Field(400, validation_alias="INGESTION_QUEUE_BATCHES_MAX")
    spill_bytes_max: PositiveInt = Field(64 * 1024 * 1024, validation_alias="INGESTION_SPILL_BYTES_MAX")
    instruments_seconds_max: PositiveFloat = Field(600.0, validation_alias="INGESTION_INSTRUMENTS_SECONDS_MAX")

    def urls(self, exchange: str) -> tuple[str | None, str | None]:
        """WebSocket and REST address that replace the configuration's and the venue's own."""
        if exchange == BINANCE_SPOT:
            return self.binance_websocket_url, self.binance_rest_url
        return self.websocket_url, self.rest_url

    @property
    def session_limits(self) -> SessionLimits:
        """Windows and times of a session."""
        return SessionLimits(
            window=WindowLimits(
                window_ms=self.window_ms, trades_max=self.window_trades_max, heartbeat_ms=self.heartbeat_ms
            ),
            time=TimeLimits(
                lateness_ms=self.lateness_ms,
                ahead_max_ms=self.trade_ahead_max_ms,
                behind_max_ms=self.trade_behind_max_ms,
            ),
        )

    @property
    def clock_skew_limit_ms(self) -> int:
        """Market time. In an accelerated market a delay of some wall milliseconds is minutes: never under 2 s of ours."""
        return max(self.clock_skew_max_ms, round(2_000 * self.market_clock_speed))

    @property
    def feed_limits(self) -> FeedLimits:
        """Deadlines of the connection."""
        return FeedLimits(
            ping_seconds=self.ping_seconds,
            silence_seconds=self.silence_seconds,
            acknowledge_seconds=self.acknowledge_seconds,
            retry_seconds_max=self.retry_seconds_max,
        )

    @property
    def refill_limits(self) -> RefillLimits:
        """Bounds of a refill."""
        return RefillLimits(seconds_max=self.refill_seconds_max, lateness_ms=self.lateness_ms)
