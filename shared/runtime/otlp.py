"""Pushes the process's metrics to an OpenTelemetry collector (OTLP over HTTP), for processes that nobody can reach.

The registry of metrics.py is the only one: here its families are told in OpenTelemetry's words.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from shared.runtime.metrics import Metrics
from shared.runtime.settings import ServiceSettings

PATH: Final = "/v1/metrics"
PUSH_SECONDS_MAX: Final = 5.0
LAST_PUSH_SECONDS_MAX: Final = 1.0  # at the end, when the process has seconds left
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE


class Push:
    """Sends everything every interval. A collector that is away is told once in the log; figures are cumulative, so that
    the next push makes up for what was missed.
    """

    def __init__(self, settings: ServiceSettings, metrics: Metrics, log: Any) -> None:
        endpoint = str(settings.otlp_endpoint).rstrip("/")
        self._exporter = OTLPMetricExporter(endpoint=endpoint.removesuffix(PATH) + PATH, timeout=PUSH_SECONDS_MAX)
        self._resource = Resource(
            {"service.name": metrics.service, "service.namespace": "cst", "service.instance.id": settings.instance_id}
        )
        self._metrics = metrics
        self._interval_seconds = settings.otlp_interval_ms / 1000
        self._log = log
        self._started_ns = time.time_ns()
        self._failing = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval_seconds)
            self._note(await asyncio.to_thread(self._push))

    async def close(self) -> None:
        """One last time, so that what happened since is not lost; bounded."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._push), LAST_PUSH_SECONDS_MAX)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(self._exporter.shutdown, 100), LAST_PUSH_SECONDS_MAX)

    def _push(self) -> bool:
        if self._metrics.registry is None:
            return True
        now_ns = time.time_ns()
        told = list(translated(self._metrics.registry.collect(), self._started_ns, now_ns))
        scope = ScopeMetrics(scope=InstrumentationScope("cst"), metrics=told, schema_url="")
        resource = ResourceMetrics(resource=self._resource, scope_metrics=[scope], schema_url="")
        try:
            result = self._exporter.export(MetricsData(resource_metrics=[resource]))
        except OSError:
            return False
        return result is MetricExportResult.SUCCESS

    def _note(self, delivered: bool) -> None:  # noqa: FBT001 - one flag, private
        if delivered is self._failing:
            self._failing = not delivered
            tell = self._log.info if delivered else self._log.warning
            tell("metrics_pushed_again" if delivered else "metrics_not_pushed", setting="OTEL_EXPORTER_OTLP_ENDPOINT")


def translated(families: Iterable[Any], started_ns: int, now_ns: int) -> Iterator[Metric]:
    """Prometheus' families as OpenTelemetry's metrics, cumulative since started_ns. Families without samples are left out."""
    for family in families:
        span: dict[str, Any] = {"start_time_unix_nano": started_ns, "time_unix_nano": now_ns}
        unit = "s" if family.name.endswith("_seconds") else ""
        data: Any
        if family.type == "histogram":
            data = Histogram(data_points=list(_histograms(family.samples, span)), aggregation_temporality=_CUMULATIVE)
        else:
            points = [
                NumberDataPoint(attributes=sample.labels, value=sample.value, **span)
                for sample in family.samples
                if not sample.name.endswith("_created")
            ]
            data = (
                Sum(data_points=points, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
                if family.type == "counter"
                else Gauge(data_points=points)
            )
        if data.data_points:
            yield Metric(name=family.name, description=family.documentation, unit=unit, data=data)


def _histograms(samples: Iterable[Any], span: dict[str, Any]) -> Iterator[HistogramDataPoint]:
    """One point per set of labels. Prometheus counts what lies below a bound, OpenTelemetry what lies between two."""
    below: dict[tuple[tuple[str, str], ...], dict[float, float]] = {}
    sums: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in samples:
        labels = tuple((name, value) for name, value in sample.labels.items() if name != "le")
        if sample.name.endswith("_bucket"):
            below.setdefault(labels, {})[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    for labels, counts in below.items():
        bounds = sorted(counts)
        steps = [counts[bound] for bound in bounds]
        yield HistogramDataPoint(
            attributes=dict(labels),
            count=int(steps[-1]),
            sum=sums.get(labels, 0.0),
            bucket_counts=[int(now - before) for before, now in zip([0.0, *steps], steps, strict=False)],
            explicit_bounds=[bound for bound in bounds if math.isfinite(bound)],
            min=math.nan,
            max=math.nan,
            **span,
        )
