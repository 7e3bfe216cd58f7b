"""How long a chart takes, beside a plain `mplfinance.plot` of the same picture, and whether drawing thousands keeps its memory.

120 candles, volume, RSI, entry, take-profit and stop, 960 x 1080 pixels, model to PNG bytes in one thread of this process. The
two take turns, so that a busy machine slows both. Every picture is another one: prices, symbol and levels change.

    python -m benchmarks.charts [--pictures 200] [--renders 10000]

--renders N draws N more (both themes, all numbers of panes) and prints what they did to this process's memory.
"""

import argparse
import gc
import io
import json
import os
import platform
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.notifier.chart_drawing import draw_chart, warm_up_drawing
from services.notifier.core.chart_model import ChartLook, build_chart_model
from services.notifier.core.chart_values import ChartModel
from tests.support.signals import a_signal, some_candles

RESULTS = Path(__file__).parent / "results" / "charts.json"
PARAMETERS = {"rsi_period": 14, "oversold": 25.0, "overbought": 75.0}
WARM = 10


def models(count: int) -> list[ChartModel]:
    """As many different charts."""
    made = []
    for seed in range(count):
        symbol = f"SYM{seed % 300}USDT"
        candles = some_candles(symbol, seed=seed, price=10.0 + 97.3 * seed % 60_000)
        signal = a_signal(symbol, entry_price=candles[-1].close)
        made.append(build_chart_model(signal, candles, parameters=PARAMETERS))
    return made


def plain_plot(model: ChartModel) -> bytes:
    """The same content by one call of mplfinance, as its documentation shows it."""
    import mplfinance as mpf
    import pandas as pd

    columns = {"Open": model.open, "High": model.high, "Low": model.low, "Close": model.close, "Volume": model.volume}
    frame = pd.DataFrame(columns, index=pd.to_datetime(list(model.open_time_ms), unit="ms"))
    levels = [level.price for level in model.levels]
    curve = model.panes[0].lines[0].values  # noqa: PD011 - no frame of pandas
    strength = [float("nan") if value is None else value for value in curve]
    target = io.BytesIO()
    mpf.plot(
        frame,
        type="candle",
        style="nightclouds",
        volume=True,
        addplot=mpf.make_addplot(strength, panel=2, ylabel=model.panes[0].title),
        hlines={"hlines": levels, "colors": ["r", "b", "g"], "linestyle": "--"},
        title=f"{model.title} {model.timeframe}",
        figsize=(6.4, 7.2),
        savefig={"fname": target, "dpi": 100 * model.scale, "format": "png"},
        closefig=True,
    )
    return target.getvalue()


def timed(draw: Callable[[ChartModel], bytes], model: ChartModel) -> tuple[float, float, int]:
    """Milliseconds on the wall, milliseconds of this process, bytes."""
    wall, own = time.perf_counter(), time.process_time()
    picture = draw(model)
    return (time.perf_counter() - wall) * 1000, (time.process_time() - own) * 1000, len(picture)


def summary(rows: list[tuple[float, float, int]]) -> dict[str, float]:
    wall, own, size = (np.array(column) for column in zip(*rows, strict=True))
    return {
        "p50_ms": round(float(np.percentile(wall, 50)), 1),
        "p90_ms": round(float(np.percentile(wall, 90)), 1),
        "p99_ms": round(float(np.percentile(wall, 99)), 1),
        "max_ms": round(float(wall.max()), 1),
        "cpu_p50_ms": round(float(np.percentile(own, 50)), 1),
        "bytes_p50": int(np.percentile(size, 50)),
    }


def side_by_side(count: int) -> dict[str, Any]:
    """Both, taking turns."""
    shown = models(count + WARM)
    found: dict[str, list[tuple[float, float, int]]] = {"ours": [], "mplfinance.plot": []}
    for number, model in enumerate(shown):
        for name, draw in (("ours", draw_chart), ("mplfinance.plot", plain_plot)):
            row = timed(draw, model)
            if number >= WARM:
                found[name].append(row)
    figures = {name: summary(rows) for name, rows in found.items()}
    figures["times faster"] = {
        name: round(figures["mplfinance.plot"][name] / figures["ours"][name], 1) for name in ("p50_ms", "cpu_p50_ms")
    }
    return figures


def memory(renders: int) -> dict[str, Any]:
    """This process's memory after warming up, and what so many renders add to it."""
    base = models(60)
    look = [ChartLook(), ChartLook(theme="light")]
    plain = [msgspec.structs.replace(model, theme=look[number % 2].theme) for number, model in enumerate(base)]
    varied = [msgspec.structs.replace(model, panes=model.panes * (number % 3)) for number, model in enumerate(plain)]
    for number in range(200):
        draw_chart(varied[number % len(varied)])
    gc.collect()
    start, samples = own_mb(), []
    began = time.perf_counter()
    for number in range(renders):
        model = varied[number % len(varied)]
        draw_chart(msgspec.structs.replace(model, title=f"N{number}USDT", footer=f"{number:016x}"))
        if (number + 1) % max(1, renders // 10) == 0:
            samples.append(round(own_mb() - start, 1))
    gc.collect()
    return {
        "renders": renders,
        "seconds": round(time.perf_counter() - began),
        "start_mb": round(start, 1),
        "growth_mb": round(own_mb() - start, 1),
        "growth_by_tenth_mb": samples,
    }


def own_mb() -> float:
    """Resident and swapped out: a machine short of memory must not make growth look like none."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith(("VmRSS:", "VmSwap:"))]
    return sum(kilobytes) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--renders", type=int, default=0)
    arguments = parser.parse_args()
    result = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    warm_up_drawing()
    if arguments.pictures:
        figures = side_by_side(arguments.pictures)
        print(f"120 candles, volume, RSI, three levels, 960 x 1080; {arguments.pictures} pictures each, taking turns")
        for name, row in figures.items():
            print(f"{name:16} " + "  ".join(f"{key} {value}" for key, value in row.items()))
        result["side_by_side"] = {"pictures": arguments.pictures, "load": os.getloadavg()[0], **figures}
    if arguments.renders:
        grown = memory(arguments.renders)
        print(f"memory: {grown}")
        result["memory"] = grown
    result |= {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
