"""The queue to the bus against a plain list: whatever the order of offers, publishes, overflows, outages and restarts."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.ingestion.backlog import Backlog
from services.ingestion.core.window import SessionIdentity, Window
from services.ingestion.spill import Spill
from shared.domain.instruments import Instrument
from shared.domain.trades import TradeSource

INSTRUMENTS = {
    "BTCUSDT": Instrument(
        exchange="bybit-linear", symbol="BTCUSDT", base="BTC", quote="USDT", price_scale=1, quantity_scale=3
    )
}
IDENTITY = SessionIdentity(
    exchange="bybit-linear", session="s", started_at_ms=1, source=TradeSource.STREAM, covers_from_ms=1
)
ROOMY_BYTES = 1 << 19


class BacklogMachine(RuleBasedStateMachine):
    """`waiting` is the model: what was accepted and not published, oldest first."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = self.root / "0"
        self.starts = 0
        self.window = Window(IDENTITY, INSTRUMENTS)
        self.waiting: list[int] = []
        self.published: list[int] = []
        self.shown: tuple[list[int], int] | None = None

    @initialize(batches_max=st.integers(1, 6), bytes_max=st.sampled_from([600, 3_000, ROOMY_BYTES]))
    def begin(self, batches_max: int, bytes_max: int) -> None:
        self.batches_max, self.bytes_max = batches_max, bytes_max
        self.backlog = self.opened()

    def opened(self) -> Backlog:
        spill = Spill.open(self.folder, "bybit-linear", bytes_max=self.bytes_max)
        return Backlog(spill, batches_max=self.batches_max, on_unreadable=self.unreadable)

    def unreadable(self, data: bytes, reason: str) -> None:
        raise AssertionError(f"a frame of our own must be readable: {reason}")

    @rule(count=st.integers(1, 8))
    def offer(self, count: int) -> None:
        for _ in range(count):
            batch = self.window.take(1)
            if self.backlog.offer(batch):
                self.waiting.append(batch.sequence)

    @rule(is_up=st.booleans())
    def bus(self, is_up: bool) -> None:
        if is_up:
            self.backlog.bus_is_up()
        else:
            self.backlog.bus_is_down()

    @rule(count=st.integers(1, 8))
    def peek(self, count: int) -> None:
        """A publish begins; where the last one was not committed, it failed."""
        found, token = self.backlog.peek(count)
        shown = [batch.sequence for batch in found]
        assert shown == self.waiting[: len(shown)]
        assert bool(shown) == bool(self.waiting)
        self.shown = (shown, token)

    @rule(count=st.integers(1, 8), meanwhile=st.integers(0, 8))
    def publish(self, count: int, meanwhile: int) -> None:
        """What the service does most: batches come in while others are on their way to the bus."""
        self.peek(count)
        if meanwhile:
            self.offer(meanwhile)
        self.commit()

    @precondition(lambda self: self.shown is not None)
    @rule()
    def commit(self) -> None:
        assert self.shown is not None
        shown, token = self.shown
        self.backlog.commit(len(shown), token)
        self.published += shown
        self.waiting = self.waiting[len(shown) :]
        self.shown = None

    @rule()
    def stop(self) -> None:
        """A clean end repeats nothing, and loses nothing but a memory that the file has no room for."""
        in_memory = len(self.backlog)
        self.backlog.close()
        left = self.restarted()
        assert left == self.waiting or (self.bytes_max < ROOMY_BYTES and left == self.waiting[in_memory:])
        self.waiting = left

    @rule()
    def kill(self) -> None:
        """The memory is gone, the file is whole. What was published last may come once more, in front."""
        held = self.waiting[len(self.backlog) :]
        self.starts += 1
        found = self.root / str(self.starts)
        shutil.copytree(self.folder, found)
        self.backlog.close()  # releases the descriptor; what it writes now is in the folder left behind
        self.folder = found
        left = self.restarted()
        repeated = len(left) - len(held)
        assert left[repeated:] == held
        assert left[:repeated] == self.published[len(self.published) - repeated :]
        del self.published[len(self.published) - repeated :]
        self.waiting = left

    def restarted(self) -> list[int]:
        """What the next process finds; it is left in place."""
        self.shown = None
        self.backlog = self.opened()
        return [batch.sequence for batch in self.backlog.peek(10_000)[0]]

    @invariant()
    def is_empty_as_the_model(self) -> None:
        if hasattr(self, "backlog"):
            assert self.backlog.is_empty == (not self.waiting)
            assert not (len(self.backlog) and self.backlog.spilled_bytes)

    def teardown(self) -> None:
        if hasattr(self, "backlog"):
            self.backlog.close()
        shutil.rmtree(self.root)


TestBacklog = BacklogMachine.TestCase
TestBacklog.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
