"""The one question about time that adapters ask; whoever builds them hands them the clock."""

from typing import Protocol


class WallClock(Protocol):
    """Anything that tells the machine's time (every clock of shared.runtime does)."""

    def wall_ms(self) -> int:
        """UTC epoch milliseconds of this machine."""
