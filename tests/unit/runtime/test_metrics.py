"""What a process measures: declared once, taken from status reports, told to Prometheus and to OpenTelemetry alike."""

import subprocess
import sys
from pathlib import Path

import pytest

from cli.metrics_page import metrics_page
from shared.domain.errors import InvalidValueError
from shared.runtime.metrics import Metrics
from shared.runtime.otlp import translated
from shared.runtime.vitals import Vitals

ROOT = Path(__file__).resolve().parents[3]


def test_the_page_lists_every_metric():
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == metrics_page(), "run `cst config metrics`"


def test_a_status_report_becomes_figures_and_what_it_no_longer_names_goes():
    metrics = Metrics("aggregator", observed=True)

    metrics.take_status(
        {
            "role": "active",
            "watermark_ages_ms": {"bybit-linear BTCUSDT": 1500, "binance-spot BTCUSDT": 900},
            "blind_symbols": ["ETHUSDT", "SOLUSDT"],
            "open_minutes": 9,
        }
    )
    first = metrics.exposition().decode()
    metrics.take_status({"watermark_ages_ms": {"bybit-linear BTCUSDT": 2000}, "blind_symbols": None})
    second = metrics.exposition().decode()

    age = 'cst_watermark_age_seconds{exchange="bybit-linear",service="aggregator",symbol="BTCUSDT"}'
    assert f"{age} 1.5" in first
    assert 'cst_blind_symbols{service="aggregator"} 2.0' in first
    assert f"{age} 2.0" in second
    assert 'exchange="binance-spot"' not in second
    assert 'cst_blind_symbols{service="aggregator"} 0.0' in second
    assert 'cst_open_minutes{service="aggregator"} 9.0' in second
    assert "process_resident_memory_bytes" in second


def test_latency_is_what_a_person_waits():
    metrics = Metrics("notifier", observed=True, market_speed=20)

    metrics.latency("message_sent", 30_000)
    metrics.latency("message_sent", -5)

    text = metrics.exposition().decode()
    assert 'cst_latency_seconds_bucket{hop="message_sent",le="1.5",service="notifier"} 2.0' in text
    assert 'cst_latency_seconds_bucket{hop="message_sent",le="1.0",service="notifier"} 1.0' in text
    assert 'cst_latency_seconds_sum{hop="message_sent",service="notifier"} 1.5' in text


def test_an_undeclared_metric_is_refused():
    with pytest.raises(InvalidValueError, match=r"declared in shared/runtime/metrics\.py"):
        Metrics("a", observed=True).add("cst_other")


def test_where_nobody_looks_nothing_is_kept_or_imported():
    code = (
        "import sys\nfrom shared.runtime.metrics import Metrics\nimport shared.runtime.service\n"
        "metrics = Metrics('a', observed=False)\nmetrics.latency('message_sent', 1)\nmetrics.take_status({'open': 1})\n"
        "assert metrics.exposition() == b''\n"
        "print([name for name in sys.modules if name.startswith(('prometheus_client', 'opentelemetry', 'http.server'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_opentelemetry_is_told_the_same_figures():
    metrics = Metrics("notifier", observed=True)
    metrics.add("cst_handled_messages_total", 3, subscription="s")
    metrics.set("cst_dead_letters", 2, subscription="s")
    for market_ms in (10, 200, 400_000):
        metrics.latency("message_sent", market_ms)
    assert metrics.registry is not None

    told = {metric.name: metric for metric in translated(metrics.registry.collect(), 1, 2)}

    [handled] = told["cst_handled_messages"].data.data_points
    assert (handled.value, handled.attributes["subscription"]) == (3, "s")
    assert told["cst_handled_messages"].data.is_monotonic
    [dead] = told["cst_dead_letters"].data.data_points
    assert dead.value == 2
    [latency] = told["cst_latency_seconds"].data.data_points
    assert (latency.count, round(latency.sum, 3)) == (3, 400.21)
    assert sum(latency.bucket_counts) == 3
    assert len(latency.bucket_counts) == len(latency.explicit_bounds) + 1
    assert latency.bucket_counts[-1] == 1  # beyond the last bound


def test_ready_means_reported_and_not_waiting():
    vitals = Vitals(Metrics("a", observed=False), report_seconds_max=60)
    assert not vitals.readiness().good
    assert vitals.health().good

    vitals.reported({"ready": False})
    assert not vitals.readiness().good
    vitals.reported({"role": "standby"})
    assert vitals.readiness().good
    vitals.stopping = True

    assert vitals.readiness().text == "stopping"


def test_a_report_grows_old():
    vitals = Vitals(Metrics("a", observed=False), report_seconds_max=0)
    vitals.reported({"role": "active"})

    assert "no report for" in vitals.readiness().text
