"""Batches that wait for the bus, oldest first: in memory while it answers, in a bounded file while it does not."""

from collections import deque
from collections.abc import Callable

from services.ingestion.spill import Spill
from shared.domain.errors import PermanentError
from shared.domain.events import SCHEMA_VERSION
from shared.domain.trades import TradeBatch
from shared.domain.wire import decode_event, encode_event

_ATTRIBUTES = {"schema_version": str(SCHEMA_VERSION), "type": "TradeBatch"}


class Backlog:
    """One queue over two places. Memory holds batches only while the file is empty, so order needs no merging.

    What `peek` showed is in flight until `commit`. It may move to the file meanwhile, as all of memory does at once;
    `commit` then forgets it there. Used by one publisher: a second `peek` gives up what the first one showed.
    """

    def __init__(self, spill: Spill, *, batches_max: int, on_unreadable: Callable[[bytes, str], None]) -> None:
        self._on_unreadable = on_unreadable
        self._memory: deque[TradeBatch] = deque()
        self._spill = spill
        self._batches_max = batches_max
        self._bus_is_down = False
        self._in_flight = 0  # batches at the front of memory that peek showed
        self._moved_bytes = 0  # what they take at the front of the file, once moved there

    def __len__(self) -> int:
        """Batches in memory; those in the file are counted in bytes."""
        return len(self._memory)

    @property
    def spilled_bytes(self) -> int:
        """What waits in the file."""
        return self._spill.size_bytes

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return not self._memory and not self._spill.size_bytes

    def offer(self, batch: TradeBatch) -> bool:
        """Queue it behind all others; False when there is no room: it is lost, and nothing older is."""
        if self._spill.size_bytes or self._bus_is_down or len(self._memory) >= self._batches_max:
            return self._move_to_file() and self._spill.append(encode_event(batch))
        self._memory.append(batch)
        return True

    def bus_is_down(self) -> None:
        """Put what waits in memory where a kill cannot take it; what does not fit stays in memory, still in front."""
        self._bus_is_down = True
        self._move_to_file()

    def bus_is_up(self) -> None:
        """Memory may be used again once the file is empty."""
        self._bus_is_down = False

    def peek(self, count: int) -> tuple[list[TradeBatch], int]:
        """Up to `count` batches from the front, and a token for `commit`."""
        self._in_flight = self._moved_bytes = 0
        if self._memory:
            self._in_flight = min(count, len(self._memory))
            return [self._memory[number] for number in range(self._in_flight)], 0
        frames, size_bytes = self._spill.peek(count)
        batches = [self._batch(frame) for frame in frames]
        return [batch for batch in batches if batch is not None], size_bytes

    def commit(self, batches: int, token: int) -> None:
        """They are published: the whole of what the last `peek` showed."""
        if token or self._moved_bytes:
            self._spill.commit(token or self._moved_bytes)
        else:
            for _ in range(batches):
                self._memory.popleft()
        self._in_flight = self._moved_bytes = 0

    def close(self) -> None:
        """Leave what could not be published to the next process."""
        self._move_to_file()
        self._spill.close()

    def _move_to_file(self) -> bool:
        # Reached only while the file is empty or memory is: offer() never queues behind the file in memory.
        if self._memory and self._spill.size_bytes:
            return False
        moved = moved_bytes = 0
        for batch in self._memory:
            if not self._spill.append(encode_event(batch)):
                break
            moved += 1
            if moved == self._in_flight:
                moved_bytes = self._spill.size_bytes
        if moved == len(self._memory):
            # A publish may be under way: its batches lie at the front of the file now, safe from a kill.
            self._memory.clear()
            self._moved_bytes = self._moved_bytes or moved_bytes
            self._in_flight = 0
            return True
        # All or nothing: half in the file would put older batches behind newer ones.
        self._spill.commit(self._spill.size_bytes)
        return False

    def _batch(self, data: bytes) -> TradeBatch | None:
        """A frame of an older version of this program may not be readable: it is handed over, the rest goes on."""
        try:
            event = decode_event(data, _ATTRIBUTES)
        except PermanentError as error:
            self._on_unreadable(data, str(error))
            return None
        if isinstance(event, TradeBatch):
            return event
        self._on_unreadable(data, f"a spill file holds TradeBatch only, was {type(event).__name__} (spill)")
        return None
