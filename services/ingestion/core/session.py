"""A session of the live stream: what it covers, what it carries, when its batches are cut."""

import msgspec

from services.ingestion.core.venue_clock import TimeLimits, VenueClock
from services.ingestion.core.window import SessionIdentity, Window, WindowLimits, window_is_due
from shared.domain.errors import InvalidTradeError
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeBatch, TradeSource
from shared.domain.venue_trade import VenueTrade


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a session must know about sizes and times."""

    window: WindowLimits
    time: TimeLimits


class StreamSession:
    """Begins at the first venue time seen after every subscription was acknowledged.

    A trade matched after the acknowledgements is delivered. The venue time seen next may be up to lateness_ms old, so
    the session vouches from that time plus lateness_ms on, and up to the watermark. seen_ms: the latest venue time of
    earlier connections, which this one cannot precede, however late its first frame comes.
    Trades before that are carried without a promise, but for the first group of equal (time, sequence) of a symbol: the
    subscription may have cut it, and its places would be wrong (the refill brings it whole).
    """

    def __init__(
        self,
        *,
        exchange: str,
        session: str,
        started_at_ms: int,
        instruments: dict[str, Instrument],
        clock: VenueClock,
        limits: SessionLimits,
        now_ms: float,
        seen_ms: int = 0,
    ) -> None:
        if clock.latest_ms is None:
            raise ValueError(f"a session begins at a venue time, none was seen yet (session {session})")
        self._limits = limits
        self._clock = clock
        self._identity = SessionIdentity(
            exchange=exchange,
            session=session,
            started_at_ms=started_at_ms,
            source=TradeSource.STREAM,
            covers_from_ms=max(clock.latest_ms, seen_ms) + limits.time.lateness_ms,
        )
        self._window = Window(self._identity, instruments)
        self._symbols = frozenset(instruments)
        self._first_groups: dict[str, tuple[int, int]] = {}
        self._said_ms = clock.watermark_ms()
        self._batch_at_ms = now_ms
        self._sealed_ms: int | None = None

    @property
    def identity(self) -> SessionIdentity:
        """What every batch says about the session."""
        return self._identity

    @property
    def symbols(self) -> tuple[str, ...]:
        """Whose trades it carries."""
        return self._window.symbols

    @property
    def is_sealed(self) -> bool:
        """Whether something was lost: the session must end, its promise grows no more."""
        return self._sealed_ms is not None

    @property
    def watermark_ms(self) -> int:
        """What the next batch will promise; never falls."""
        now_ms = self._clock.watermark_ms() if self._sealed_ms is None else self._sealed_ms
        return max(self._said_ms, now_ms)

    def seal(self) -> None:
        """Something that may have been a trade is lost: promise nothing beyond what is promised by now."""
        if self._sealed_ms is None:
            self._sealed_ms = self._said_ms

    def add(self, trade: VenueTrade) -> bool:
        """Take a trade of the stream; False when it belongs to a group that may be cut.

        Raises InvalidTradeError naming the rule when it cannot be a trade of this session.
        """
        reason = self._clock.check(trade.traded_at_ms, "T")
        if trade.symbol not in self._symbols:
            reason = f"the symbol must be one of the session's, was {trade.symbol!r}"
        if reason is not None:
            raise InvalidTradeError(f"{reason} (symbol={trade.symbol} trade_id={trade.trade_id})")
        group = (trade.traded_at_ms, trade.venue_sequence)
        is_first = self._first_groups.setdefault(trade.symbol, group) == group
        if is_first and trade.traded_at_ms < self._identity.covers_from_ms:
            return False
        self._window.add(trade)
        return True

    def is_due(self, now_ms: float) -> bool:
        """Whether a batch is due at this wall time (any steady clock)."""
        return window_is_due(
            self._limits.window,
            trades=len(self._window),
            age_ms=now_ms - self._batch_at_ms,
            watermark_ms=self.watermark_ms,
            said_ms=self._said_ms,
        )

    def take(self, now_ms: float) -> TradeBatch:
        """The next batch: all rows so far (none: a heartbeat) with the watermark of this moment."""
        self._said_ms = self.watermark_ms
        self._batch_at_ms = now_ms
        return self._window.take(self._said_ms)
