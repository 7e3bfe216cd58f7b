"""What is to be told to a chat and what became of it: the rows of the outbox and the living messages."""

from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from shared.domain.bias import Direction, MacroBias
from shared.domain.checks import check_name
from shared.domain.events import (
    AlertRaised,
    MacroBiasUpdated,
    SignalClosed,
    SignalOpened,
    SignalProgressed,
    SystemEvent,
)
from shared.domain.identity import digest_text
from shared.domain.signals import Signal

SignalEvent = SignalOpened | SignalProgressed | SignalClosed
OutboxEvent = SignalOpened | SignalProgressed | SignalClosed | AlertRaised | MacroBiasUpdated | SystemEvent
# Reports that answer one another are told in one order: what ends a condition never overtakes what began it.
_ANSWERS: Final = {
    "seeing": "blind",
    "clock_right": "clock_skew",
    "macro_input_back": "macro_input_missing",
    "macro_pairs_back": "macro_pairs_missing",
    "platform_up": "platform_down",
    "platform_back": "platform_down",
}


class OutboxState(StrEnum):
    """The life of a row: queued -> claimed -> a final state, or back to queued, or unknown -> claimed again."""

    QUEUED = "queued"  # nothing was sent, as far as we know for certain
    CLAIMED = "claimed"  # a sender has taken it: until it records the outcome, nobody knows whether it was sent
    UNKNOWN = "unknown"  # it may have been sent: timeout, reset, 5xx
    SENT = "sent"
    MERGED = "merged"  # another row's message says it, too
    REPLACED = "replaced"  # a progress edit that a newer one made needless
    DIGESTED = "digested"  # a line of a digest
    EXPIRED = "expired"  # its chat does not want it so late; `reason` says by which setting
    WITHHELD = "withheld"  # its chat has muted the pair, or new signals are paused; `reason` says which
    FAILED = "failed"  # refused for good (a blocked bot, a chat that is gone); `reason` says why


OPEN_STATES: Final = frozenset({OutboxState.QUEUED, OutboxState.CLAIMED, OutboxState.UNKNOWN})
FINAL_STATES: Final = frozenset(OutboxState) - OPEN_STATES


class Priority(IntEnum):
    """Which message goes first when several wait: exits, then entries, then everything else."""

    EXIT = 0
    ENTRY = 1
    INFORMATION = 2


class OutboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one chat.

    queued_at_ms, not_before_ms: wall clock; it is not sent before the latter (retry_after, backoff).
    attempts:    how often it was claimed.
    repeats:     how many of the attempts followed one whose outcome was unknown.
    claim_fence: fence of the sender that claimed it last.
    message_id:  the chat's message that says it, once sent.
    in_digest:   it was claimed as a line of a digest, and stays one if that has to be sent again.
    bias_binding, bias_before: with a MacroBiasUpdated: the side that holds from now on, and what was told last.
    """

    chat: str
    event: OutboxEvent
    queued_at_ms: int
    state: OutboxState = OutboxState.QUEUED
    attempts: int = 0
    repeats: int = 0
    not_before_ms: int = 0
    claim_fence: int = 0
    message_id: int | None = None
    reason: str = ""
    in_digest: bool = False
    bias_binding: Direction | None = None
    bias_before: MacroBias | None = None

    def __post_init__(self) -> None:
        check_name(self.chat, "chat", "outbox row")

    @property
    def event_id(self) -> str:
        """Id of the event; with the chat it is the row's key."""
        return self.event.event_id

    @property
    def signal(self) -> Signal | None:
        """The snapshot of a signal's event; None for everything else."""
        return self.event.signal if isinstance(self.event, SignalEvent) else None

    @property
    def subject(self) -> str:
        """What the message is about: rows with one subject that wait together share one message and keep their order.

        A signal, the alerts of a pair, the bias (a new regime changes every pair's at once), the reports of a kind.
        """
        event = self.event
        if isinstance(event, AlertRaised):
            return digest_text(("alert", event.exchange, event.symbol), 16)
        if isinstance(event, MacroBiasUpdated):
            return digest_text(("macro",), 16)
        if isinstance(event, SystemEvent):
            return digest_text(("system", _ANSWERS.get(event.kind, event.kind)), 16)
        return event.signal.signal_id

    @property
    def version(self) -> int:
        """Orders the rows of one subject."""
        event = self.event
        if isinstance(event, AlertRaised):
            return event.candle_open_time_ms
        if isinstance(event, MacroBiasUpdated):
            return event.bias.version
        return event.at_ms if isinstance(event, SystemEvent) else event.signal.version

    @property
    def priority(self) -> Priority:
        """The class it is sent in."""
        if isinstance(self.event, SignalClosed):
            return Priority.EXIT
        return Priority.ENTRY if isinstance(self.event, SignalOpened | AlertRaised) else Priority.INFORMATION

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in FINAL_STATES

    @property
    def outcome_unknown(self) -> bool:
        """Whether its last attempt may have reached the chat, so that another one is a repeat."""
        return self.state in {OutboxState.CLAIMED, OutboxState.UNKNOWN}


class MessageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The living message of one signal in one chat, as it reads now.

    signal:  the newest snapshot shown.
    notes:   (version, line) of every SignalProgressed told, oldest first.
    repeats: how often sending it was repeated before its message id was known.
    sent_at_ms, edited_at_ms: wall clock; edited_at_ms 0 = never.
    picture: the chart the message carries: "" (it is text), "entry" or "exit".
    notice_id: the reply that told the exit, where the chat wants one.
    """

    chat: str
    message_id: int
    signal: Signal
    notes: tuple[tuple[int, str], ...] = ()
    repeats: int = 0
    sent_at_ms: int
    edited_at_ms: int = 0
    picture: str = ""
    notice_id: int | None = None
