"""The slot of an open signal, and a signal with the notes it was given: what the engine keeps of signals."""

from typing import Self

import msgspec

from shared.domain.signals import Signal


class SlotKey(msgspec.Struct, frozen=True, order=True):
    """One signal at a time per (strategy, exchange, symbol)."""

    strategy: str
    exchange: str
    symbol: str

    @property
    def row_key(self) -> str:
        """strategy#exchange#symbol."""
        return f"{self.strategy}#{self.exchange}#{self.symbol}"


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """The slot's row.

    signal_id:          who holds it; None when free. Claimed before the signal's own row is written.
    last_signal_id:     who held it before and has ended; None at first.
    chain_hash:         hash of that signal's final snapshot; empty at first.
    handled_through_ms: close of the last 1m candle whose effects are all durable. Older candles are never handled again,
                        so that a redelivered one cannot open a signal in a slot that has become free.
    revision:           of the row; 0 where it does not exist yet.
    """

    signal_id: str | None = None
    last_signal_id: str | None = None
    chain_hash: str = ""
    handled_through_ms: int
    revision: int = 0

    def handled(self, close_ms: int) -> Self:
        """The same after this close."""
        return type(self)(
            signal_id=self.signal_id,
            last_signal_id=self.last_signal_id,
            chain_hash=self.chain_hash,
            handled_through_ms=close_ms,
            revision=self.revision,
        )


class SignalNote(msgspec.Struct, frozen=True, kw_only=True):
    """One line added to the signal's message. key: what it is about, once each; version: the signal's with the note."""

    key: str
    version: int
    text: str


class SignalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The signal's row: its latest snapshot and the notes it was given. revision 0: not stored yet."""

    signal: Signal
    notes: tuple[SignalNote, ...] = ()
    revision: int = 0
