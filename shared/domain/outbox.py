"""What is to be told to a chat and what became of it: the rows of the outbox and the living messages."""

from enum import IntEnum, StrEnum
from typing import Final

import msgspec

from shared.domain.checks import check_name
from shared.domain.events import AlertRaised, SignalClosed, SignalOpened, SignalProgressed, SystemEvent
from shared.domain.signals import Signal

SignalEvent = SignalOpened | SignalProgressed | SignalClosed
OutboxEvent = SignalOpened | SignalProgressed | SignalClosed | AlertRaised | SystemEvent


class OutboxState(StrEnum):
    """The life of a row: queued -> claimed -> sent | merged | failed, or back to queued, or unknown -> claimed again."""

    QUEUED = "queued"  # nothing was sent, as far as we know for certain
    CLAIMED = "claimed"  # a sender has taken it: until it records the outcome, nobody knows whether it was sent
    UNKNOWN = "unknown"  # it may have been sent: timeout, reset, 5xx
    SENT = "sent"
    MERGED = "merged"  # another row's message says it, too
    FAILED = "failed"  # refused for good (a blocked bot, a chat that is gone); `reason` says why


FINAL_STATES: Final = frozenset({OutboxState.SENT, OutboxState.MERGED, OutboxState.FAILED})


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

    def __post_init__(self) -> None:
        check_name(self.chat, "chat", "outbox row")

    @property
    def event_id(self) -> str:
        """Id of the event; with the chat it is the row's key."""
        return self.event.event_id

    @property
    def signal(self) -> Signal | None:
        """The snapshot of a signal's event; None for alerts and system events."""
        return None if isinstance(self.event, AlertRaised | SystemEvent) else self.event.signal

    @property
    def subject(self) -> str:
        """What the message is about: rows with one subject share one message and keep their order."""
        return self.event_id if self.signal is None else self.signal.signal_id

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
    """

    chat: str
    message_id: int
    signal: Signal
    notes: tuple[tuple[int, str], ...] = ()
    repeats: int = 0
    sent_at_ms: int
    edited_at_ms: int = 0
