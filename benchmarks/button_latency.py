"""How soon a pressed button is answered: press at the server -> first byte of answerCallbackQuery, and of the picture.

The picture is in the cache already (a second person presses Chart); Why reads the Decision from the store. Presses come
every 150 ms over long polling, each bot, server and drawing process being one of its own; rate budgets are off.

    python -m benchmarks.button_latency [--presses 200]
"""

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import structlog

from shared.domain.events import SignalOpened
from tests.support.notifier import CHAT, NotifierBench, notifier_bench
from tests.support.telegram_server import TOKEN, TelegramServerProcess

RESULT = Path(__file__).with_name("results") / "button_latency.json"


async def measure(server: TelegramServerProcess, folder: Path, presses: int) -> dict[str, list[float]]:
    """Milliseconds by what was measured."""
    async with notifier_bench(server, folder / "tracker.db") as bench:
        signal = await bench.a_stored_signal()
        await bench.notifier.handle([SignalOpened(signal=signal)])
        await bench.notifier.drain()
        [message] = server.messages(CHAT)
        bench.questions_max = 10 * presses
        async with bench.running(buttons=True):
            await press_all(server, message.message_id, signal.signal_id, 3)  # draws, opens connections
            before = len(server.calls())
            pressed = await press_all(server, message.message_id, signal.signal_id, presses)
            await settled(server, bench, 3 + presses)
        return latencies(server, pressed, before)


async def press_all(
    server: TelegramServerProcess, message_id: int, signal_id: str, count: int
) -> list[tuple[str, str, int]]:
    """(action, query id, when) of each press; Chart and Why in turn."""
    pressed = []
    for number in range(count):
        action = ("chart", "why")[number % 2]
        started_ns = time.monotonic_ns()
        query = await asyncio.to_thread(server.press, CHAT, message_id, f"{action}:{signal_id}", 5)
        pressed.append((action, query, started_ns))
        await asyncio.sleep(0.15 if count > 3 else 2.0)
    return pressed


async def settled(server: TelegramServerProcess, bench: NotifierBench, presses: int) -> None:
    await server.wait_until_async(lambda state: len(state.callback_answers) >= presses, timeout_s=60)
    await asyncio.sleep(1.0)
    del bench


def latencies(
    server: TelegramServerProcess, pressed: list[tuple[str, str, int]], before: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"acknowledged": [], "picture out": [], "explanation out": []}
    calls = server.calls()[before:]
    answers = {call.parameters.get("callback_query_id"): call.first_byte_monotonic_ns for call in calls}
    shown = {
        "chart": sorted(call.first_byte_monotonic_ns for call in calls if call.method == "sendPhoto"),
        "why": sorted(call.first_byte_monotonic_ns for call in calls if call.method == "sendMessage"),
    }
    for action, query, started_ns in pressed:
        found["acknowledged"].append((answers[query] - started_ns) / 1e6)
        later = [at_ns for at_ns in shown[action] if at_ns >= started_ns]
        if later:
            shown[action].remove(later[0])
            found["picture out" if action == "chart" else "explanation out"].append((later[0] - started_ns) / 1e6)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--presses", type=int, default=200)
    presses = parser.parse_args().presses
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with TelegramServerProcess(path / "telegram.jsonl", chats=(CHAT,), token=TOKEN) as server:
            found = asyncio.run(measure(server, path, presses))
    result = {}
    for name, values in found.items():
        figures = {f"p{rank}": round(float(np.percentile(values, rank)), 1) for rank in (50, 90, 99)}
        result[name] = {**figures, "max": round(max(values), 1), "count": len(values)}
        print(f"{name:16}", "  ".join(f"{key} {value}" for key, value in result[name].items()), "ms")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
