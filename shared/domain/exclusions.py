"""Trades ruled out of a minute: an id that counts once counts in one minute only, whatever arrives when."""

from collections.abc import Sequence

import msgspec

from shared.domain.minute_trades import MinuteTrades

Arrival = tuple[int, str, int]  # session start, session, sequence: the lower wins


class Exclusion(msgspec.Struct, frozen=True, array_like=True):
    """In this minute the trade does not count where it arrived after the winner, which stands in another minute."""

    trade_id: int | str
    winner: Arrival


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
        gone = [exclusion.trade_id for exclusion in exclusions if piece.arrival > exclusion.winner]
        rest = piece.without(gone) if gone else piece
        if rest is not None:
            kept.append(rest)
    return kept
