"""Writes docs/metrics.md from the declared metrics, so that it is complete by construction."""

from pathlib import Path

from shared.runtime.metrics import LATENCY_BUCKETS_SECONDS, METRICS

_HEAD = """\
# Metrics

Written by `cst config metrics` from `shared/runtime/metrics.py`; a test keeps the two equal. Every metric also has the label `service`, and the
process's own (`process_resident_memory_bytes`, `process_cpu_seconds_total`, …) stand beside them.

- **A port.** `HTTP_PORT=9300 ./start_services.sh live` gives the services the ports 9300, 9301, … in the order of starting (ingestion, aggregator,
  logic engine, macro engine, notifier); a service started alone takes the port itself. `/metrics` is for Prometheus; `/health` says whether the
  event loop turns, `/ready` whether the service has loaded its kernels, opened its adapters and reported (503 before, and while it stops).
  The address is 127.0.0.1 unless `HTTP_HOST` says otherwise. Without `HTTP_PORT` there is no port.
- **No port.** `OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318` pushes the same figures every `OTEL_METRIC_EXPORT_INTERVAL` ms over OTLP/HTTP.
- **The webhook** answers `GET` on its public port with `ok` and shows no metrics there; give it `HTTP_PORT` or the push, too.

| metric | kind | labels | says |
|---|---|---|---|
"""


def metrics_page() -> str:
    """The whole page."""
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels) or 'none'} | {metric.text} |"
        for metric in METRICS
    ]
    bounds = ", ".join(f"{bound:g}" for bound in LATENCY_BUCKETS_SECONDS)
    foot = f"""
The histogram's bounds: {bounds} s. In an accelerated market its spans are what a person waits, not market time.

Every message on the bus carries `correlation_id`, every log line about it has the same (`docs/adr/2026-11-20-correlation.md`).
"""
    return _HEAD + "\n".join(rows) + "\n" + foot


def write_metrics_page(file: Path) -> None:
    """Write the file anew."""
    file.write_text(metrics_page(), encoding="utf-8")
