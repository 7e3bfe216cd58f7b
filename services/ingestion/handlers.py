"""Feed events in, batches out. Synchronous and quick: the feed calls it for every frame."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.ingestion.core.clock_skew import ClockSkew
from services.ingestion.core.freshness import Freshness
from services.ingestion.core.frontier import Frontier
from services.ingestion.core.id_gaps import IdGap, IdWatch
from services.ingestion.core.refill import Hole
from services.ingestion.core.session import SessionLimits, StreamSession
from services.ingestion.core.venue_clock import VenueClock
from services.ingestion.core.window import SessionIdentity
from services.ingestion.publisher import Publisher
from services.ingestion.refiller import Refiller
from shared.domain.errors import InvalidTradeError
from shared.domain.events import Severity, SystemEvent
from shared.domain.instruments import Instrument
from shared.domain.timeframe import minute_ms
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.feed import (
    FeedClock,
    FeedConnected,
    FeedEvent,
    FeedLost,
    FeedReady,
    FeedRefused,
    FeedTrades,
    Refusal,
)
from shared.runtime.clock import Clock


class IngestionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of this process.

    first_refill_ms:   market time before a first start that the refill asks for.
    time_refusals_max: so many frames in a row far from the clock mean that the clock was wrong: it starts anew.
    clock_skew_max_ms: market time our clock may lie from the venue's; clock_skew_patience_ms: wall time to be sure.
    ids_are_consecutive: the venue numbers its trades: a missing number is a lost trade, which is fetched.
    """

    exchange: str
    instance_id: str
    limits: SessionLimits
    first_refill_ms: int
    freshness_budget_ms: int
    time_refusals_max: int = 20
    clock_skew_max_ms: int = 30_000
    clock_skew_patience_ms: int = 5_000
    ids_are_consecutive: bool = False


class Ingestion:
    """The life of sessions: begin at the first venue time after the acknowledgements, end with connection or hole."""

    def __init__(
        self,
        options: IngestionOptions,
        *,
        instruments: dict[str, Instrument],
        publisher: Publisher,
        refiller: Refiller,
        frontier: Frontier,
        clock: Clock,
        steady_ms: Callable[[], float],
        log: Any,
    ) -> None:
        self._options = options
        self._instruments = instruments
        self._publisher = publisher
        self._refiller = refiller
        self._frontier = frontier
        self._clock = clock
        self._steady_ms = steady_ms
        self._log = log
        self._venue_clock = VenueClock(options.limits.time)
        self._seen_ms = 0  # the latest venue time of all connections
        self._ready: FeedReady | None = None
        self._session: StreamSession | None = None
        self._overflowed = False
        self._time_refusals = 0
        self._reason = "not connected yet"
        self._ids = IdWatch()
        self.sessions = self.connections = self.holes = self.trades = self.id_gaps = 0
        self.watermark_ms = 0
        subject = f"ingestion#{options.exchange}"
        now_ms = steady_ms()
        self._freshness = Freshness(
            subject, budget_ms=options.freshness_budget_ms, started_at_ms=now_ms, version=clock.market_ms()
        )
        self._skew = ClockSkew(
            f"ingestion-clock#{options.exchange}",
            max_ms=options.clock_skew_max_ms,
            patience_ms=options.clock_skew_patience_ms,
        )

    @property
    def is_ready(self) -> bool:
        """Whether a session is open."""
        return self._session is not None

    @property
    def is_blind(self) -> bool:
        """Whether blindness is announced."""
        return self._freshness.is_blind

    @property
    def clock_is_skewed(self) -> bool:
        """Whether a clock far from the venue's is announced."""
        return self._skew.is_skewed

    @property
    def clock_skew_ms(self) -> int | None:
        """How far our clock is ahead of the venue's latest time, network delay included; None before the first."""
        return self._skew.latest_ms

    @property
    def watermark_age_ms(self) -> float:
        """How long the watermark has stood still, wall time."""
        return self._freshness.age_ms(self._steady_ms())

    @property
    def refused_symbols(self) -> dict[str, str]:
        """Symbols the venue refused, with its reasons."""
        return dict(self._ready.refused) if self._ready else {}

    def handle(self, event: FeedEvent) -> None:
        """One event of the feed."""
        match event:
            case FeedTrades():
                self._trades(event)
            case FeedClock():
                self._advance(event.venue_time_ms, event)
            case FeedRefused():
                self._refuse(event.refusal, lost=event.trades_possible)
            case FeedConnected():
                self.connections += 1
                self._venue_clock = VenueClock(self._options.limits.time)
                self._skew.forget()
                self._time_refusals = 0
                self._reason = "no venue time since the connection"
                self._log.info("connected", connection=event.connection)
            case FeedReady():
                self._ready = event
                for symbol, reason in event.refused.items():
                    self._log.error("symbol_refused", symbol=symbol, reason=reason)
                self._log.info("subscribed", symbols=event.symbols)
            case FeedLost():
                self._reason = event.reason
                self._log.warning("connection_lost", reason=event.reason, retry_seconds=round(event.retry_seconds, 2))
                self.end_session()
                self._ready = None

    def tick(self) -> None:
        """Cut the batch that is due, end a session that lost something, watch freshness. Call it every few ms."""
        now_ms = self._steady_ms()
        session = self._session
        if session is not None and session.is_sealed:
            # The next one begins at the next venue time: what was lost may be younger than the latest one seen.
            self.end_session()
        elif session is not None and session.is_due(now_ms):
            self._offer(session)
        elif self._overflowed and self._publisher.backlog.is_empty:
            self._overflowed = False
        self._watch(now_ms)

    def _watch(self, now_ms: float) -> None:
        market_ms = self._clock.market_ms()
        said = [self._freshness.observe(self.watermark_ms, now_ms=now_ms, market_ms=market_ms, reason=self._reason)]
        if self._venue_clock.latest_ms is not None:
            said.append(self._skew.observe(self._venue_clock.latest_ms, market_ms=market_ms, now_ms=now_ms))
        for event in said:
            if event is not None:
                self._publisher.say(event)

    def asked_again(self, session: str, symbols: Sequence[str], from_ms: int) -> bool:
        """Batches of the session never reached the aggregator: where it is ours, another one begins and fills from there on."""
        if self._session is None or self._session.identity.session != session:
            return False
        for symbol in symbols:
            self._frontier.fall_back(session, symbol, from_ms)
        self._session.seal()
        self._log.warning("session_restarts", session=session, from_ms=from_ms)
        return True

    def end_session(self) -> None:
        """The open window goes out with the last promise; nothing follows in this session."""
        session, self._session = self._session, None
        if session is not None:
            self._offer(session)
            self._log.info("session_ended", session=session.identity.session)

    def _trades(self, event: FeedTrades) -> None:
        if not self._advance(event.venue_time_ms, event):
            return
        session = self._session
        for refusal in event.refused:
            self._refuse(refusal, lost=True)
        if session is None:
            return
        for trade in event.trades:
            try:
                self.trades += session.add(trade)
                if self._options.ids_are_consecutive:
                    self._look_for_gap(session, trade)
            except InvalidTradeError as error:
                reason = f"{error} (topic {event.topic})"
                self._refuse(Refusal(topic=event.topic, data=msgspec.json.encode(trade), reason=reason), lost=False)
        if session.is_due(self._steady_ms()):
            self._offer(session)

    def _look_for_gap(self, session: StreamSession, trade: VenueTrade) -> None:
        """A missing id is a trade that the venue did not send us: it is fetched, the session goes on."""
        gap = self._ids.observe(trade)
        if gap is not None:
            self._fetch(session, gap)

    def refilled(self, identity: SessionIdentity, symbol: str, *, last_id: int, at_ms: int) -> None:
        """The refill before a session ended with this id: what lies between it and the session's first trade is lost."""
        session = self._session
        if not self._options.ids_are_consecutive or session is None or session.identity != identity:
            return
        gap = self._ids.refilled(symbol, last_id=last_id, at_ms=at_ms)
        if gap is not None:
            self._fetch(session, gap)

    def _fetch(self, session: StreamSession, gap: IdGap) -> None:
        self.id_gaps += 1
        self._log.warning("ids_missing", symbol=gap.symbol, first_id=gap.first_id, end_id=gap.end_id)
        self._refiller.fill_gap(session.identity, gap, self._instruments[gap.symbol])

    def _advance(self, venue_time_ms: int, event: FeedTrades | FeedClock) -> bool:
        """Move the clock; the first time after the acknowledgements begins the session. False: the frame is refused."""
        reason = self._venue_clock.advance(venue_time_ms)
        if reason is not None:
            topic = event.topic if isinstance(event, FeedTrades) else "clock"
            refusal = Refusal(topic=topic, data=msgspec.json.encode(event), reason=f"{reason} (topic {topic})")
            self._refuse(refusal, lost=isinstance(event, FeedTrades))
            self._time_refusals += 1
            if self._time_refusals >= self._options.time_refusals_max:
                self._restart_clock()
            return False
        self._time_refusals = 0
        if self._session is None and self._ready is not None and not self._overflowed:
            self._begin_session()
        self._seen_ms = max(self._seen_ms, venue_time_ms)
        if self._session is not None:
            self.watermark_ms = max(self.watermark_ms, self._session.watermark_ms)
        return True

    def _restart_clock(self) -> None:
        self._log.warning("clock_restarted", latest_ms=self._venue_clock.latest_ms)
        self.end_session()
        self._seen_ms = 0
        self._venue_clock = VenueClock(self._options.limits.time)
        self._skew.forget()
        self._time_refusals = 0

    def _refuse(self, refusal: Refusal, *, lost: bool) -> None:
        """lost: a trade may be gone with it, so the session's promise ends here and the refill looks for it."""
        self._publisher.refuse(refusal)
        if lost and self._session is not None:
            self._session.seal()

    def _begin_session(self) -> None:
        if self._ready is None or self._venue_clock.latest_ms is None:
            return
        self.sessions += 1
        latest_ms = self._venue_clock.latest_ms
        # One connection's time far ahead of the next one's was wrong, or this one is: then it says nothing.
        seen_ms = self._seen_ms if self._seen_ms - latest_ms <= self._options.limits.time.behind_max_ms else 0
        started_at_ms = self._clock.market_ms()
        session = StreamSession(
            exchange=self._options.exchange,
            session=f"{self._options.instance_id}-{started_at_ms}-{self.sessions}",
            started_at_ms=started_at_ms,
            instruments={symbol: self._instruments[symbol] for symbol in self._ready.symbols},
            clock=self._venue_clock,
            limits=self._options.limits,
            now_ms=self._steady_ms(),
            seen_ms=seen_ms,
        )
        self._session = session
        self._ids = IdWatch()
        self._reason = "the venue's time stands still"
        identity = session.identity
        self._log.info("session_began", session=identity.session, covers_from_ms=identity.covers_from_ms)
        holes = [self._hole(symbol, identity.covers_from_ms) for symbol in session.symbols]
        self._refiller.start(identity, holes, self._instruments)

    def _hole(self, symbol: str, to_ms: int) -> Hole:
        known = self._frontier.of(symbol)
        from_ms = known.covered_to_ms
        if from_ms is None:  # never seen: the minutes around the start, so that the first candle is whole
            from_ms = minute_ms(max(0, to_ms - self._options.first_refill_ms))
        trades = (known.last_trade,) if known.last_trade is not None else ()
        reached = known.reached.trade_id if known.reached is not None else None
        return Hole(
            exchange=self._options.exchange,
            symbol=symbol,
            from_ms=from_ms,
            to_ms=to_ms,
            known=trades,
            first_id=reached + 1 if self._options.ids_are_consecutive and isinstance(reached, int) else None,
        )

    def _offer(self, session: StreamSession) -> None:
        batch = session.take(self._steady_ms())
        if self._publisher.offer(batch):
            return
        # No room: this batch is lost, so the session is over. Older ones are safe; what follows begins anew.
        self._session = None
        self._overflowed = True
        self.holes += 1
        text = f"{self._options.exchange}: the spill is full, trades are lost from {batch.watermark_ms} on until the bus answers"
        self._publisher.say(
            SystemEvent(
                kind="hole",
                subject=f"ingestion#{self._options.exchange}",
                version=batch.watermark_ms,
                severity=Severity.ERROR,
                text=text,
                at_ms=self._clock.market_ms(),
            )
        )
