"""The live connection to Binance spot: the combined stream of trades, and one mini ticker as the clock.

Binance acknowledges streams of symbols it does not trade: they are found out before, by their instruments. Its pings
are WebSocket pings, which the library answers; it ends every connection after 24 hours, which is a cut like any other.
"""

from typing import Final

from shared.domain.errors import TransientError
from shared.exchanges.binance.wire import CLOCK_STREAM, TRADE_STREAM, Answer, parse_frame, subscribe_request
from shared.exchanges.websocket import Handle, LiveConnection, ReconnectingFeed, in_requests

_ARGUMENTS_CHARACTERS_MAX: Final = 4_000  # a message may have 4,096 bytes


class BinanceFeed(ReconnectingFeed):
    """Trades of the symbols and one clock stream over one connection that repairs itself."""

    def connection(self, number: int, handle: Handle) -> LiveConnection:
        """One connection to Binance."""
        return _Connection(self, number, handle)


class _Connection(LiveConnection):
    def __init__(self, feed: ReconnectingFeed, number: int, handle: Handle) -> None:
        super().__init__(feed, number, handle)
        self._pending: dict[int, tuple[str, ...]] = {}

    def subscribe(self) -> None:
        """Everything at once; the clock first."""
        streams = [self.feed.clock_symbol.lower() + CLOCK_STREAM]
        streams += [symbol.lower() + TRADE_STREAM for symbol in self.feed.symbols]
        for some in in_requests(streams, self.limits.topics_per_request, _ARGUMENTS_CHARACTERS_MAX):
            request_id = len(self._pending) + 1
            self._pending[request_id] = some
            self.outgoing.append(subscribe_request(request_id, some))

    def receive(self, data: bytes) -> bool:
        """One frame."""
        parsed = parse_frame(data)
        if parsed is None:
            return True
        if type(parsed) is Answer:
            self._answered(parsed)
            return False
        self.handle(parsed)  # type: ignore[arg-type]  # mypy does not narrow a union by `type(x) is`
        return True

    def unanswered(self) -> list[str]:
        """What no answer named yet."""
        return sorted(stream for streams in self._pending.values() for stream in streams)

    def ping(self) -> None:
        """None: the venue pings us."""

    def _answered(self, answer: Answer) -> None:
        if answer.error is not None:
            raise TransientError(f"a subscription was refused: {answer.error.code} {answer.error.msg}")
        if answer.request_id is None or self._pending.pop(answer.request_id, None) is None:
            return
        self.answered()
        if not self._pending:
            self.ready(self.feed.symbols, {})
