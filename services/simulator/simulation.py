"""The running market: sends what happened since the last step, keeps the faults in force."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from services.simulator.connections import Connection, Hub
from services.simulator.core import binance_wire, wire
from services.simulator.core.bars import interval_start
from services.simulator.core.clock import MarketClock
from services.simulator.core.faults import FaultOrder, Schedule
from services.simulator.core.late_trades import make_late_trade
from services.simulator.core.market import Market
from services.simulator.core.minute_trades import MINUTE_MS
from services.simulator.core.ticker import Ticker

_CATCH_UP_MS_MAX = 10 * MINUTE_MS
_BUSY_TRADES_PER_MINUTE = 10.0
_RESTORED_MS_MAX = 24 * 60 * MINUTE_MS

log = structlog.get_logger()


class Cadence(msgspec.Struct, frozen=True, kw_only=True):
    """How often things are sent, wall milliseconds."""

    ticker_ms: int
    kline_ms: int


def wall_ms() -> float:
    """Wall clock, milliseconds since 1970 UTC."""
    return time.time_ns() / 1_000_000


class Simulation:
    """One market with its clients. Every method runs on the one event loop."""

    def __init__(
        self,
        market: Market,
        clock: MarketClock,
        hub: Hub,
        *,
        schedules: list[Schedule],
        cadence: Cadence,
        wall_ms: Callable[[], float] = wall_ms,
    ) -> None:
        self.market, self.clock, self.hub = market, clock, hub
        self.wall_ms = wall_ms
        self.counters: Counter[str] = Counter()
        self.refuse_until_ms = self.silence_until_ms = self.rest_down_until_ms = 0.0
        self._schedules, self._cadence = schedules, cadence
        self._tickers = {symbol: Ticker(instrument) for symbol, instrument in market.instruments.items()}
        self._ticker_due_ms: dict[str, float] = {}
        self._kline_sent: dict[str, tuple[int, float]] = {}
        self._last_rows: dict[str, wire.Json] = {}
        self._duplicates_pending: Counter[str] = Counter()
        self._losses_pending: Counter[str] = Counter()
        self._sent_until_ms = self.now_ms()
        self._restore_late_trades()

    def now_ms(self) -> int:
        """Market time."""
        return self.clock.market_ms(self.wall_ms())

    def step(self) -> None:
        """Sends everything that happened since the last step.

        Trades of all symbols go out in order of time and before any ticker or kline, because clients take the
        ticker's time as proof that earlier trades have been sent.
        """
        after_ms = self._sent_until_ms
        now_ms = min(self.now_ms(), after_ms + _CATCH_UP_MS_MAX)
        if now_ms <= after_ms:
            return
        self._send_trades(after_ms, now_ms)
        for schedule in self._schedules:
            for at_ms, order in schedule.between(after_ms, now_ms):
                self.apply(order, at_ms=at_ms)
        self._send_tickers(now_ms)
        self._send_klines(now_ms)
        self._send_binance_clock(now_ms)
        self._sent_until_ms = now_ms

    def greet(self, connection: Connection, topics: list[str]) -> None:
        """Sends a new subscriber the present state of its ticker and kline topics."""
        now_ms = self._sent_until_ms
        for topic in topics:
            kind, _, rest = topic.partition(".")
            if kind == "tickers":
                connection.send(wire.encode(self._tickers[rest].snapshot(self.market, now_ms)))
            elif kind == "kline":
                connection.send(self._kline_text(topic, now_ms // MINUTE_MS, now_ms))

    def apply(self, order: FaultOrder, *, at_ms: int | None = None) -> int:
        """Carries out a fault; returns how often it took effect. Duplicates wait for the next trade frames."""
        now_ms = self._sent_until_ms if at_ms is None else at_ms
        log.info("fault_ordered", fault=order.fault, symbol=order.symbol, seconds=order.seconds, market_ms=now_ms)
        until_ms = self.wall_ms() + order.seconds * 1000
        if order.fault == "cut":
            self.refuse_until_ms = max(self.refuse_until_ms, until_ms)
            done = len(self.hub.connections)
            if order.graceful:
                self.hub.close_all()
            else:
                self.hub.abort(None)
        elif order.fault == "silence":
            self.silence_until_ms = max(self.silence_until_ms, until_ms)
            done = len(self.hub.connections)
            for connection in self.hub.connections:
                connection.silent = True
        elif order.fault == "rest_down":
            self.rest_down_until_ms = max(self.rest_down_until_ms, until_ms) if order.seconds else 0.0
            done = 1
        elif order.fault == "duplicate":
            self._duplicates_pending[order.symbol] += order.count
            return order.count
        elif order.fault == "lose":
            self._losses_pending[order.symbol] += order.count
            return order.count
        elif order.fault == "late_trade":
            done = sum(self._publish_late(order, now_ms, ordinal) for ordinal in range(order.count))
        else:
            done = sum(self._publish_bad(order, now_ms + ordinal) for ordinal in range(order.count))
        self.counters[order.fault] += done
        return done

    def state(self) -> dict[str, Any]:
        """What GET /control/state answers."""
        wall = self.wall_ms()
        return {
            "market_ms": self.now_ms(),
            "sent_until_ms": self._sent_until_ms,
            "wall_ms": int(wall),
            "speed": self.clock.speed,
            "origin_wall_ms": self.clock.origin_wall_ms,
            "origin_market_ms": self.clock.origin_market_ms,
            "symbols": list(self.market.instruments),
            "connections": [
                {"conn_id": c.connection_id, "silent": c.silent, "topics": sorted(c.topics)}
                for c in self.hub.connections
            ],
            "refusing_s": max(0.0, self.refuse_until_ms - wall) / 1000,
            "silencing_s": max(0.0, self.silence_until_ms - wall) / 1000,
            "rest_down_s": max(0.0, self.rest_down_until_ms - wall) / 1000,
            "slow_clients_dropped": self.hub.slow_clients_dropped,
            "counters": dict(self.counters),
        }

    def _send_trades(self, after_ms: int, now_ms: int) -> None:
        frames: list[tuple[int, str, str, wire.Json]] = []
        for topic in self.hub.topics("publicTrade."):
            symbol = topic.partition(".")[2]
            for trades in self.market.trades_between(symbol, after_ms, now_ms):
                made = wire.trade_frames(self.market.instruments[symbol], trades)
                frames.extend((at_ms, topic, symbol, frame) for at_ms, frame in made)
        frames.extend(self._binance_frames(after_ms, now_ms))
        frames.sort(key=lambda frame: frame[0])
        for _, topic, symbol, frame in frames:
            if topic.startswith("publicTrade."):
                self._last_rows[symbol] = frame["data"][-1]
                self.counters["trades"] += len(frame["data"])
            else:
                self.counters["trades"] += 1
            if self._taken(self._losses_pending, symbol):
                self.counters["lose"] += 1
                continue
            text = wire.encode(frame)
            self.hub.publish(topic, text)
            self.counters["trade_frames"] += 1
            if self._taken(self._duplicates_pending, symbol):
                self.hub.publish(topic, text)
                self.counters["duplicate"] += 1

    def _taken(self, pending: Counter[str], symbol: str) -> bool:
        """Whether a fault that waits for a frame takes this one."""
        for name in (symbol, ""):
            if pending[name] > 0:
                pending[name] -= 1
                return True
        return False

    def _binance_frames(self, after_ms: int, now_ms: int) -> list[tuple[int, str, str, wire.Json]]:
        frames: list[tuple[int, str, str, wire.Json]] = []
        for topic in self.hub.topics_ending(binance_wire.TRADE_STREAM):
            symbol = topic.removesuffix(binance_wire.TRADE_STREAM).upper()
            if self.market.numbers(symbol) is None:
                continue
            instrument = self.market.instruments[symbol]
            for trades in self.market.trades_between(symbol, after_ms, now_ms):
                made = (binance_wire.trade_frame(instrument, trades, row) for row in range(trades.at_ms.size))
                frames.extend((frame["data"]["T"], topic, symbol, frame) for frame in made)
        return frames

    def _send_binance_clock(self, now_ms: int) -> None:
        wall = self.wall_ms()
        for topic in self.hub.topics_ending(binance_wire.CLOCK_STREAM):
            symbol = topic.removesuffix(binance_wire.CLOCK_STREAM).upper()
            if self.market.numbers(symbol) is None or wall < self._ticker_due_ms.get(topic, 0.0):
                continue
            self._ticker_due_ms[topic] = wall + self._cadence.ticker_ms - 1
            ticks = self.market.last_price(symbol, now_ms)[0]
            frame = binance_wire.clock_frame(self.market.instruments[symbol], ticks, now_ms)
            self.hub.publish(topic, wire.encode(frame))

    def _send_tickers(self, now_ms: int) -> None:
        wall = self.wall_ms()
        for topic in self.hub.topics("tickers."):
            symbol = topic.partition(".")[2]
            if wall < self._ticker_due_ms.get(symbol, 0.0):
                continue
            busy = self.market.instruments[symbol].trades_per_minute >= _BUSY_TRADES_PER_MINUTE
            self._ticker_due_ms[symbol] = wall + self._cadence.ticker_ms * (1 if busy else 3) - 1
            self.hub.publish(topic, wire.encode(self._tickers[symbol].advance(self.market, now_ms)))

    def _send_klines(self, now_ms: int) -> None:
        wall = self.wall_ms()
        topics = self.hub.topics("kline.")
        # A topic that had no subscriber for a while begins anew: nobody waits for the bars in between.
        self._kline_sent = {topic: self._kline_sent[topic] for topic in topics if topic in self._kline_sent}
        for topic in topics:
            interval = topic.split(".")[1]
            start = interval_start(now_ms // MINUTE_MS, interval)
            last_start, due_ms = self._kline_sent.get(topic, (start, 0.0))
            if start == last_start and wall < due_ms:
                continue
            self._kline_sent[topic] = (start, wall + self._cadence.kline_ms)
            self.hub.publish(topic, self._kline_text(topic, last_start, now_ms))

    def _kline_text(self, topic: str, first_minute: int, now_ms: int) -> str:
        _, interval, symbol = topic.split(".")
        first = interval_start(first_minute, interval)
        bars = self.market.klines(symbol, interval, first, now_ms // MINUTE_MS, now_ms)
        return wire.encode(wire.kline_frame(self.market.instruments[symbol], interval, bars, now_ms))

    def _publish_late(self, order: FaultOrder, now_ms: int, ordinal: int) -> int:
        symbol = self._symbol_of(order)
        trade = make_late_trade(symbol, now_ms, int(order.delay_s * 1000), self.market.trades_of, ordinal)
        if trade is None:
            log.warning("late_trade_impossible", symbol=symbol, market_ms=now_ms)
            return 0
        self.market.late.add(trade)
        row = wire.late_row(self.market.instruments[symbol], trade)
        self.hub.publish(f"publicTrade.{symbol}", wire.encode(wire.trade_frame(symbol, [row], now_ms)))
        return 1

    def _publish_bad(self, order: FaultOrder, now_ms: int) -> int:
        symbol = self._symbol_of(order)
        instrument = self.market.instruments[symbol]
        last = self._last_rows.get(symbol)
        if last is None:
            recent = self.market.recent(symbol, now_ms, 1)
            if not recent:
                return 0
            last = wire.trade_row(instrument, *recent[0])
        self.hub.publish(f"publicTrade.{symbol}", wire.bad_frame(order.fault, instrument, last, now_ms))
        return 1

    def _symbol_of(self, order: FaultOrder) -> str:
        """The order's symbol, else a subscribed one, else the first of the market."""
        subscribed = sorted(topic.partition(".")[2] for topic in self.hub.topics("publicTrade."))
        return order.symbol or (subscribed or list(self.market.instruments))[0]

    def _restore_late_trades(self) -> None:
        """Late trades that the schedule had published before a restart are part of the market again."""
        first_ms = max(self.clock.origin_market_ms, self._sent_until_ms - _RESTORED_MS_MAX)
        for schedule in self._schedules:
            if schedule.fault == "late_trade":
                for at_ms, order in schedule.between(first_ms, self._sent_until_ms):
                    self._publish_late(order, at_ms, 0)
