"""cryptofeed's Bybit handler with its OHLCV aggregate over a file of frames. Runs in the peers' environment, alone.

    python benchmarks/peers/cryptofeed_bybit.py FRAMES INSTRUMENTS

Prints seconds and every symbol's volume as JSON. Imports nothing of ours. Its own classes do the work: Bybit.message_handler
(JSON, Trade objects, Decimal) and backends.aggregate.OHLCV; only the symbols come from a file instead of from REST.
"""

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptofeed.backends.aggregate import OHLCV
from cryptofeed.defines import TRADES
from cryptofeed.exchanges import Bybit
from cryptofeed.symbols import Symbols

WINDOW_SECONDS = 60


def main() -> None:
    frames = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    instruments = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    answer = [{"result": {"list": instruments}}]
    Symbols.set(Bybit.id, *Bybit._parse_symbol_data(answer))  # noqa: SLF001 - what Bybit.symbols() does behind its REST call
    volume: defaultdict[str, Decimal] = defaultdict(Decimal)

    async def candle(data: dict[str, Any]) -> None:
        for symbol, figures in data.items():
            volume[symbol] += figures["volume"]

    aggregate = OHLCV(candle, window=WINDOW_SECONDS)
    symbols = list(Symbols.get(Bybit.id)[0])
    feed = Bybit(symbols=symbols, channels=[TRADES], callbacks={TRADES: aggregate})
    connection = SimpleNamespace(address="wss://stream.bybit.com/v5/public/linear", uuid="file")

    async def run() -> float:
        began = time.perf_counter()
        for frame in frames:
            await feed.message_handler(frame, connection, 0.0)
        return time.perf_counter() - began

    gc.collect()
    seconds = asyncio.run(run())
    for symbol, figures in aggregate.data.items():
        volume[symbol] += figures["volume"]
    named = {symbol: str(total) for symbol, total in volume.items()}
    print(json.dumps({"seconds": seconds, "volume": named}))


if __name__ == "__main__":
    main()
