"""The live connection to Bybit v5 linear: acknowledged subscriptions, its own pings.

The clock topic is subscribed first. Bybit answers a tickers subscription with a stored snapshot and deltas that were up
to 1.6 s old in our recording; once the trades are acknowledged a round trip later, that old burst is behind us and
the next frame's time is a live one.
"""

from typing import Final

from shared.domain.errors import TransientError
from shared.exchanges.bybit.wire import CLOCK_TOPIC, TRADE_TOPIC, Answer, parse_frame, ping_request, subscribe_request
from shared.exchanges.websocket import Handle, LiveConnection, ReconnectingFeed, in_requests

_ARGUMENTS_CHARACTERS_MAX: Final = 20_000  # the venue's limit is 21,000


class BybitFeed(ReconnectingFeed):
    """Trades of the symbols and one clock topic over one connection that repairs itself."""

    def connection(self, number: int, handle: Handle) -> LiveConnection:
        """One connection to Bybit."""
        return _Connection(self, number, handle)


class _Connection(LiveConnection):
    def __init__(self, feed: ReconnectingFeed, number: int, handle: Handle) -> None:
        super().__init__(feed, number, handle)
        self._requests = 0
        self._pending: dict[str, tuple[str, ...]] = {}
        self._clocks = list(dict.fromkeys((feed.clock_symbol, *feed.symbols)))
        self._accepted: set[str] = set()
        self._refused: dict[str, str] = {}

    def subscribe(self) -> None:
        """The clock first."""
        self._ask((CLOCK_TOPIC + self._clocks[0],))

    def receive(self, data: bytes) -> bool:
        """One frame."""
        parsed = parse_frame(data)
        if type(parsed) is Answer:
            self._answered(parsed)
            return False
        self.handle(parsed)  # type: ignore[arg-type]  # mypy does not narrow a union by `type(x) is`
        return True

    def unanswered(self) -> list[str]:
        """What no answer named yet."""
        return sorted(topic for topics in self._pending.values() for topic in topics)

    def ping(self) -> None:
        """Bybit hangs up without a ping in its own words."""
        self._requests += 1
        self.outgoing.append(ping_request(f"ping-{self._requests}"))

    def _ask(self, topics: tuple[str, ...]) -> None:
        self._requests += 1
        request_id = str(self._requests)
        self._pending[request_id] = topics
        self.outgoing.append(subscribe_request(request_id, topics))

    def _answered(self, answer: Answer) -> None:
        if answer.op != "subscribe" or not self._pending:
            return
        # Answers come in the order of the requests; some gateways leave the id out.
        request_id = answer.request_id if answer.request_id in self._pending else next(iter(self._pending))
        topics = self._pending.pop(request_id)
        self.answered()
        if topics[0].startswith(CLOCK_TOPIC):
            self._clock_answered(answer)
        elif answer.is_accepted:
            self._accepted.update(topics)
        elif len(topics) > 1:  # one bad symbol refuses the whole request: ask for each alone
            for topic in topics:
                self._ask((topic,))
        else:
            self._refused[topics[0].removeprefix(TRADE_TOPIC)] = answer.ret_msg
        if not self._pending:
            symbols = tuple(symbol for symbol in self.feed.symbols if TRADE_TOPIC + symbol in self._accepted)
            self.ready(symbols, self._refused)

    def _clock_answered(self, answer: Answer) -> None:
        if answer.is_accepted:
            topics = [TRADE_TOPIC + symbol for symbol in self.feed.symbols]
            for some in in_requests(topics, self.limits.topics_per_request, _ARGUMENTS_CHARACTERS_MAX):
                self._ask(some)
        elif len(self._clocks) > 1:
            self._clocks.pop(0)
            self._ask((CLOCK_TOPIC + self._clocks[0],))
        else:
            raise TransientError(f"no clock topic was accepted, last answer: {answer.ret_msg}")
