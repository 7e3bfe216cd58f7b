"""What a chat wants: filters, quiet hours, expiry, mutes. Pure: times are handed in."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal

import msgspec

from services.notifier.core.languages import LANGUAGES
from services.notifier.core.platform_notices import PLATFORM_KINDS
from services.notifier.core.texts import score_of
from services.notifier.core.voice import Voice
from shared.domain.events import AlertRaised, MacroBiasUpdated, SignalClosed, SignalOpened, SystemEvent
from shared.domain.outbox import OutboxEvent, OutboxRow, Priority
from shared.domain.timeframe import Timeframe

Kind = Literal["signals", "alerts", "macro", "system", "platform"]
KINDS: Final[tuple[Kind, ...]] = ("signals", "alerts", "macro", "system", "platform")
EVERYWHERE: Final = "*"  # the state that holds for every chat
_MINUTES_OF_A_DAY: Final = 1_440


class QuietHours(msgspec.Struct, frozen=True):
    """Minutes of the day in the chat's time zone; over midnight where start > end. The end is exclusive."""

    start_minute: int
    end_minute: int

    def __post_init__(self) -> None:
        minutes = (self.start_minute, self.end_minute)
        if not all(0 <= minute < _MINUTES_OF_A_DAY for minute in minutes) or self.start_minute == self.end_minute:
            raise ValueError(f"quiet hours need two different times within a day, were {minutes} minutes")

    def ends_at_ms(self, now_ms: int, zone: tzinfo) -> int | None:
        """When the quiet that holds now ends; None outside."""
        now = datetime.fromtimestamp(now_ms / 1000, zone)
        minute = now.hour * 60 + now.minute
        over_midnight = self.start_minute > self.end_minute
        late, early = minute >= self.start_minute, minute < self.end_minute
        if not ((late or early) if over_midnight else (late and early)):
            return None
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        day = midnight + timedelta(days=int(over_midnight and late))
        end = day.replace(hour=self.end_minute // 60, minute=self.end_minute % 60)
        # A clock change may put the end behind us for a moment: then it is over in a minute.
        return max(int(end.astimezone(UTC).timestamp() * 1000), now_ms + 60_000)


class Digest(msgspec.Struct, frozen=True, kw_only=True):
    """More than this many messages (exits aside) within the window are told in digests, at most one a window."""

    more_than: int
    window_ms: int


class ChatProfile(msgspec.Struct, frozen=True, kw_only=True):
    """One place messages go, as configured.

    chat:      the outbox's name of it: `<id>`, or `<id>/<forum topic>`.
    strategies, symbols, timeframes: only these; empty means all. score_min: of 0..100; what has no score passes.
    exit_reply: whether a reply tells the exit besides the edit; None: not settled yet, and none.
    entry_expires_ms, other_expires_ms: unsent that long, an entry (an alert, anything else) is dropped; None: never.
    """

    chat: str
    kinds: frozenset[Kind] = frozenset(KINDS)
    strategies: frozenset[str] = frozenset()
    symbols: frozenset[str] = frozenset()
    timeframes: frozenset[Timeframe] = frozenset()
    score_min: float | None = None
    language: str = "en"
    zone: tzinfo = UTC
    exit_reply: bool | None = None
    pictures: bool = True
    quiet: QuietHours | None = None
    digest: Digest | None = None
    entry_expires_ms: int | None = None
    other_expires_ms: int | None = None


class ChatState(msgspec.Struct, frozen=True, kw_only=True):
    """What commands changed. language: empty = as configured. quiet_set: whether `quiet` overrides the configuration.

    muted: pair -> until (wall clock). paused: no new signals; only in the state of EVERYWHERE.
    """

    language: str = ""
    quiet_set: bool = False
    quiet: QuietHours | None = None
    muted: dict[str, int] = msgspec.field(default_factory=dict)
    paused: bool = False


def voice_of(profile: ChatProfile, state: ChatState) -> Voice:
    """Its language and time zone."""
    words = LANGUAGES.get(state.language or profile.language) or LANGUAGES["en"]
    return Voice(words=words, zone=profile.zone)


def quiet_until_ms(profile: ChatProfile, state: ChatState, now_ms: int) -> int | None:
    """When the chat's quiet hours end; None while it is not quiet."""
    quiet = state.quiet if state.quiet_set else profile.quiet
    return None if quiet is None else quiet.ends_at_ms(now_ms, profile.zone)


def wants(profile: ChatProfile, event: OutboxEvent) -> bool:
    """Whether the chat is told such events at all."""
    if isinstance(event, SystemEvent):
        return ("platform" if event.kind in PLATFORM_KINDS else "system") in profile.kinds
    if isinstance(event, MacroBiasUpdated):
        return "macro" in profile.kinds
    about = event if isinstance(event, AlertRaised) else event.signal
    score = score_of(about.conditions, None if isinstance(about, AlertRaised) else about.score)
    return (
        ("alerts" if isinstance(event, AlertRaised) else "signals") in profile.kinds
        and (not profile.strategies or about.strategy in profile.strategies)
        and (not profile.symbols or about.symbol in profile.symbols)
        and (not profile.timeframes or about.timeframe in profile.timeframes)
        and (profile.score_min is None or score is None or score >= profile.score_min)
    )


def withheld_reason(event: OutboxEvent, state: ChatState, everywhere: ChatState, now_ms: int) -> str:
    """Why a new signal or alert is not told just now; empty where it is."""
    if not isinstance(event, SignalOpened | AlertRaised):
        return ""
    if everywhere.paused:
        return "new signals are paused"
    symbol = event.symbol if isinstance(event, AlertRaised) else event.signal.symbol
    return f"{symbol} is muted" if state.muted.get(symbol, 0) > now_ms else ""


def expires_at_ms(profile: ChatProfile, row: OutboxRow) -> int | None:
    """When an unsent row is too old for its chat; None: never. Exits never are."""
    if row.priority is Priority.EXIT or isinstance(row.event, SignalClosed):
        return None
    lasts_ms = profile.entry_expires_ms if row.priority is Priority.ENTRY else profile.other_expires_ms
    return None if lasts_ms is None else row.queued_at_ms + lasts_ms
