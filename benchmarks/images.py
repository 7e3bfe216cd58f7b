"""Size, start and memory of every image, made by the Dockerfile's own install steps in a clean environment each.

    python -m benchmarks.images [--symbols 40] [--seconds 150] [--starts 3] [--folder DIR] [--targets logic-engine ...]

Size: what the steps install and copy, in files' own bytes; the base image (python:3.11-slim) comes on top and is shared.
Start: from the container's process, entry point among it, to the first /ready (or, for the function and the simulator, an
answer), byte-code and kernels from the build, files in the page cache; the first start is not counted; only the market runs
beside it. ready_cpu_seconds: the processor's seconds until then, which a busy machine changes little. Memory: the largest of a
sample every two seconds while all services run on one embedded file, 40 symbols of the simulated market, charts drawn where
signals come; memory_megabytes is PSS (what processes share counts once among them), resident_megabytes the sum of the RSS of a
service and its children (what they share counts for each). With --folder images stay there and are used again.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.image_runs import Run, running, towards, write_config
from tests.support.images import TARGETS, Image, build_image
from tests.support.simulator import RunningSimulator, free_port

RESULTS = Path(__file__).parent / "results" / "images.json"
KNOWN = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "SEIUSDT", "LINKUSDT", "SUIUSDT", "ADAUSDT")
RUNNING_TOGETHER = ("ingestion", "aggregator", "logic-engine", "macro-engine", "notifier")
SAMPLE_SECONDS = 2.0
TIMER = ("python", "-m", "services.macro_engine.main")


def main() -> None:
    """Print a line per image and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.folder or Path(temporary)).resolve()
        report, images = _build(asked.targets, folder / "images")
        runs = folder / "runs"
        runs.mkdir(exist_ok=True)
        if "simulator" in images:
            _run_all(asked, images, runs, report)
    report_all = {"symbols": asked.symbols, "images": report, "load_average_after": round(os.getloadavg()[0], 2)}
    RESULTS.write_text(json.dumps(report_all, indent=2) + "\n", encoding="utf-8")
    for name, figures in report.items():
        print(f"{name:16}", json.dumps(figures))


def _build(targets: list[str], folder: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Image]]:
    report, images = {}, {}
    for target in targets:
        began = time.monotonic()
        image = images[target] = build_image(target, folder / target)
        report[target] = {
            "disk_megabytes": round(image.disk_megabytes(), 1),
            "build_seconds": round(time.monotonic() - began, 1),
        }
        print(f"{target:16} built: {report[target]}", file=sys.stderr, flush=True)
    return report, images


def _run_all(asked: argparse.Namespace, images: dict[str, Image], folder: Path, report: dict[str, Any]) -> None:
    symbols = (*KNOWN, *(f"COIN{number:02}USDT" for number in range(asked.symbols)))[: asked.symbols]
    port = free_port()
    market = {"SIMULATOR_HOST": "127.0.0.1", "SIMULATOR_PORT": str(port), "SIMULATOR_SYMBOLS": ",".join(symbols)}
    report["simulator"] |= _starts(images["simulator"], folder, asked.starts, market)
    with contextlib.ExitStack() as stack:
        simulator = stack.enter_context(running(images["simulator"], folder, **market))
        place = RunningSimulator(port=port, pid=simulator.process.pid)
        shared = towards(place, write_config(folder / "tracker.yaml", symbols))
        shared |= {"DATA_DIR": str(folder / "data"), "OUTBOX_DIR": str(folder / "outbox")}
        chosen = {name: TIMER if name == "macro-engine" else () for name in RUNNING_TOGETHER if name in images}
        for name, command in chosen.items():  # each alone beside the market
            report[name] |= _starts(images[name], folder, asked.starts, shared, command)
        if "macro-engine" in chosen:
            report["macro-engine"]["function"] = _starts(images["macro-engine"], folder, asked.starts, shared)
        together = {"simulator": simulator}
        for name, command in chosen.items():
            together[name] = stack.enter_context(running(images[name], folder, command=command, **shared))
        for name, largest in _largest(together, asked.seconds).items():
            report[name] |= {"memory_megabytes": round(largest[0], 1), "resident_megabytes": round(largest[1], 1)}


def _starts(image: Image, folder: Path, count: int, environment: dict[str, str], command: tuple[str, ...] = ()) -> Any:
    spans = []
    for _ in range(count + 1):
        with running(image, folder, command=command, **environment) as run:
            spans.append((run.ready_seconds, run.ready_cpu_seconds))
    seconds, cpu = zip(*spans[1:], strict=True)
    return {"ready_seconds": _spread(seconds), "ready_cpu_seconds": _spread(cpu)}


def _spread(values: tuple[float, ...]) -> dict[str, float]:
    return {"min": round(min(values), 2), "median": round(statistics.median(values), 2), "max": round(max(values), 2)}


def _largest(together: dict[str, Run], seconds: float) -> dict[str, tuple[float, ...]]:
    largest: dict[str, tuple[float, ...]] = dict.fromkeys(together, (0.0, 0.0))
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for name, run in together.items():
            largest[name] = tuple(map(max, largest[name], run.memory_megabytes()))
        time.sleep(SAMPLE_SECONDS)  # between two readings of the memory
    return largest


if __name__ == "__main__":
    main()
