"""Places among trades with equal (time, sequence): counted across the frames of a session, oldest first."""

from typing import Final

GENERATION_MS: Final = 60_000  # a group is remembered for one to two of these after its first trade


class TieRanks:
    """Counts per symbol. A trade that comes twice keeps its place, so that a repetition moves nobody."""

    def __init__(self) -> None:
        self._young: dict[tuple[str, int, int], dict[int | str, int]] = {}
        self._old: dict[tuple[str, int, int], dict[int | str, int]] = {}
        self._turn_at_ms = 0

    def rank(self, symbol: str, traded_at_ms: int, venue_sequence: int, trade_id: int | str) -> int:
        """The trade's place in its group, from 0."""
        if traded_at_ms >= self._turn_at_ms:
            self._old, self._young = self._young, {}
            self._turn_at_ms = traded_at_ms + GENERATION_MS
        key = (symbol, traded_at_ms, venue_sequence)
        group = self._young.get(key)
        if group is None:
            group = self._young[key] = self._old.get(key, {})
        return group.setdefault(trade_id, len(group))
