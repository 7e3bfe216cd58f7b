"""How often everything happens in a history. Slower than in life: a simulated minute costs what happens in it, not its length,
and what can go wrong between two events does not depend on how long nothing happens between them.
"""

from services.aggregator.settings import Settings as AggregatorSettings
from services.ingestion.settings import IngestionSettings
from services.logic_engine.settings import Settings as EngineSettings
from services.notifier.limits import SenderLimits

VENUE_CLOCK_MS = 5_000
INGESTION = IngestionSettings(
    window_ms=5_000, heartbeat_ms=10_000, silence_seconds=12.0, retry_seconds_max=5.0, queue_batches_max=40
)
AGGREGATOR = AggregatorSettings(
    lease_ttl_ms=30_000,
    status_every_seconds=60.0,
    feed_freshness_seconds=30.0,
    repair_every_seconds=20.0,
    backfill_candles=140,
)
ENGINE = EngineSettings(lease_ttl_ms=30_000, status_every_seconds=60.0, sweep_every_seconds=30.0)
SENDER = SenderLimits(lease_ttl_ms=30_000, scan_ms=15_000)
# (module, constant) of what services do by themselves, in seconds; place.py puts them in.
TICK_SECONDS = 5.0
INGESTION_STATUS_SECONDS = 20.0
HOUSEKEEPING_SECONDS = 5.0
PULL_WAIT_SECONDS = 60.0
BUS_POLL_SECONDS = 0.5
LOOK_SECONDS = 15.0
SENDER_IDLE_SECONDS = 20.0
