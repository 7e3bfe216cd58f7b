"""What a process measures. Every metric is declared here once; docs/metrics.md lists them, a test keeps the two equal.

Services do not know who looks: they report their status (ServiceContext.report_status), publish and acknowledge, and what
is declared here is taken from that. Where neither HTTP_PORT nor OTEL_EXPORTER_OTLP_ENDPOINT is set nothing is kept, and
the library is not even imported.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shared.domain.checks import require

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECOND_MS: Final = 1000
# From a publish within the machine to a message that waits for Telegram's rate limit.
LATENCY_BUCKETS_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300)


class Kind(StrEnum):
    """How a metric behaves."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One metric. status: the key of a service's status it is taken from, "" where the runtime measures it.

    scale: what a figure of the status is multiplied with. Where the status holds a map, its keys are the labels' values,
    separated by spaces.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    status: str = ""
    scale: float = 1.0


METRICS: Final = (
    Metric(
        name="cst_latency_seconds",
        kind=Kind.HISTOGRAM,
        labels=("hop",),
        text="Wall seconds since the exchange's own time, when a hop was done. trades_published: since the newest trade of a"
        " batch; candle_announced, signal_published, message_sent: since the close of the candle.",
    ),
    Metric(
        name="cst_watermark_age_seconds",
        kind=Kind.GAUGE,
        labels=("exchange", "symbol"),
        text="How far a symbol's watermark lies behind, as the aggregator sees it.",
        status="watermark_ages_ms",
        scale=1 / _SECOND_MS,
    ),
    Metric(
        name="cst_feed_watermark_age_seconds",
        kind=Kind.GAUGE,
        text="How far the watermark lies behind, as ingestion sees its connection; of several symbols the worst.",
        status="watermark_age_ms",
        scale=1 / _SECOND_MS,
    ),
    Metric(
        name="cst_backlog_messages",
        kind=Kind.GAUGE,
        labels=("subscription",),
        text="Messages that wait or are leased. On Pub/Sub only what this process holds: the broker's own figure is"
        " subscription/num_undelivered_messages of Cloud Monitoring.",
    ),
    Metric(
        name="cst_dead_letters",
        kind=Kind.GAUGE,
        labels=("subscription",),
        text="Dead letters of the subscription. On Pub/Sub only those this process has put there since its start.",
    ),
    Metric(
        name="cst_published_events_total",
        kind=Kind.COUNTER,
        labels=("topic", "type"),
        text="Events published.",
    ),
    Metric(
        name="cst_handled_messages_total",
        kind=Kind.COUNTER,
        labels=("subscription",),
        text="Messages acknowledged after their effects were durable.",
    ),
    Metric(
        name="cst_kernel_cache_misses",
        kind=Kind.GAUGE,
        text="Kernels that were not in the cache and were compiled since the start of the process.",
        status="compilations",
    ),
    Metric(name="cst_ready", kind=Kind.GAUGE, text="1 where the service has reported and is not waiting to begin."),
    Metric(
        name="cst_blind",
        kind=Kind.GAUGE,
        text="1 where ingestion has announced that it sees nothing of its exchange.",
        status="blind",
    ),
    Metric(
        name="cst_blind_symbols",
        kind=Kind.GAUGE,
        text="Symbols announced as blind by the aggregator.",
        status="blind_symbols",
    ),
    Metric(name="cst_open_minutes", kind=Kind.GAUGE, text="Minutes not closed yet.", status="open_minutes"),
    Metric(
        name="cst_partial_candles",
        kind=Kind.GAUGE,
        text="Minutes closed without proof since the start.",
        status="partial",
    ),
    Metric(
        name="cst_open_holes", kind=Kind.GAUGE, text="Partial minutes that are still asked for again.", status="holes"
    ),
    Metric(
        name="cst_spilled_bytes",
        kind=Kind.GAUGE,
        text="Trades that wait on ingestion's disk for the bus.",
        status="spilled_bytes",
    ),
    Metric(name="cst_open_signals", kind=Kind.GAUGE, text="Signals being followed.", status="open_signals"),
    Metric(name="cst_outbox_open", kind=Kind.GAUGE, text="Messages owed to chats and not settled yet.", status="open"),
    Metric(name="cst_messages_sent", kind=Kind.GAUGE, text="Messages sent since the start.", status="sent"),
    Metric(
        name="cst_messages_failed",
        kind=Kind.GAUGE,
        text="Messages refused for good since the start.",
        status="failed",
    ),
    Metric(
        name="cst_messages_repeated",
        kind=Kind.GAUGE,
        text="Sends repeated since the start because the outcome of the one before was unknown.",
        status="repeats",
    ),
)
_BY_STATUS: Final = {metric.status: metric for metric in METRICS if metric.status}
_BY_NAME: Final = {metric.name: metric for metric in METRICS}


class Metrics:
    """The process's figures. observed: False keeps nothing, at no cost. market_speed: market seconds per wall second."""

    def __init__(self, service: str, *, observed: bool, market_speed: float = 1.0) -> None:
        self.service = service
        self._market_speed = market_speed
        self.registry: CollectorRegistry | None = None
        self._made: dict[str, Any] = {}
        if observed:
            self._make()

    def _make(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector

        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        kinds: dict[Kind, Any] = {Kind.GAUGE: Gauge, Kind.COUNTER: Counter, Kind.HISTOGRAM: Histogram}
        for metric in METRICS:
            options = {"buckets": LATENCY_BUCKETS_SECONDS} if metric.kind is Kind.HISTOGRAM else {}
            labels = ("service", *metric.labels)
            self._made[metric.name] = kinds[metric.kind](metric.name, metric.text, labels, registry=registry, **options)

    def set(self, name: str, value: float, **labels: str) -> None:
        """A gauge's value now."""
        if self.registry is not None:
            self._of(name, labels).set(value)

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """More of a counter."""
        if self.registry is not None:
            self._of(name, labels).inc(amount)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """One value of a histogram."""
        if self.registry is not None:
            self._of(name, labels).observe(value)

    def latency(self, hop: str, market_ms: float) -> None:
        """A hop was done that much market time after the exchange's own; kept as the wall seconds a person waited."""
        self.observe("cst_latency_seconds", max(0.0, market_ms) / _SECOND_MS / self._market_speed, hop=hop)

    def take_status(self, status: Mapping[str, object]) -> None:
        """The figures of a status report that are declared as metrics; a label that is no longer reported goes."""
        if self.registry is None:
            return
        for key, value in status.items():
            metric = _BY_STATUS.get(key)
            if metric is None:
                continue
            if metric.labels:
                self._made[metric.name].clear()
            for labels, figure in _figures(metric, value):
                self.set(metric.name, figure, **labels)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format; empty where nothing is kept."""
        if self.registry is None:
            return b""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)

    def _of(self, name: str, labels: Mapping[str, str]) -> Any:
        require(name in _BY_NAME, "metrics are declared in shared/runtime/metrics.py", name, self.service)
        return self._made[name].labels(service=self.service, **labels)


def _figures(metric: Metric, value: object) -> Iterator[tuple[dict[str, str], float]]:
    """(labels, figure) of what a status says; a list counts, None is 0 of a list or not known, which says nothing."""
    if isinstance(value, Mapping):
        for key, figure in value.items():
            parts = str(key).split(" ", len(metric.labels) - 1)
            if isinstance(figure, int | float) and len(parts) == len(metric.labels):
                yield dict(zip(metric.labels, parts, strict=True)), figure * metric.scale
    elif isinstance(value, list | tuple):
        yield {}, float(len(value))
    elif isinstance(value, int | float):
        yield {}, value * metric.scale
    elif value is None and metric.name == "cst_blind_symbols":
        yield {}, 0.0
