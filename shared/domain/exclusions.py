"""Trades ruled out of a minute: an id that counts once counts in one minute only, whatever arrives when."""

from collections.abc import Sequence

import msgspec

from shared.domain.minute_trades import MinuteTrades

Arrival = tuple[int, str, int]  # session start, session, sequence: the lower wins


class Exclusion(msgspec.Struct, frozen=True, array_like=True):
    """In this minute the trade does not count where it comes after the winner, which stands in another minute.

    Of two rows of one batch, which arrived together, that of the earlier minute comes first.
    """

    trade_id: int | str
    winner: Arrival
    winner_minute_ms: int = 0  # so in rows written before it was kept: their winner comes before any minute

    def rules_out(self, arrival: Arrival, minute_ms: int) -> bool:
        """Whether a row of the trade that arrived so, in this minute, does not count."""
        return (arrival, minute_ms) > (self.winner, self.winner_minute_ms)


class TapeMinute(msgspec.Struct, frozen=True):
    """All that the tape holds of one symbol and minute."""

    pieces: list[MinuteTrades]
    exclusions: list[Exclusion]

    def counted(self) -> list[MinuteTrades]:
        """The pieces without the trades that are excluded; empty pieces are left out."""
        return counted(self.pieces, self.exclusions)


def counted(pieces: Sequence[MinuteTrades], exclusions: Sequence[Exclusion]) -> list[MinuteTrades]:
    """The pieces without the trades that are excluded; empty pieces are left out."""
    if not exclusions:
        return list(pieces)
    kept = []
    for piece in pieces:
        gone = [exclusion.trade_id for exclusion in exclusions if exclusion.rules_out(piece.arrival, piece.minute_ms)]
        rest = piece.without(gone) if gone else piece
        if rest is not None:
            kept.append(rest)
    return kept
