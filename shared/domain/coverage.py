"""What one session vouches for: which of its batches arrived, and the spans of time they assert."""

from typing import Final, Self

import msgspec

from shared.domain.trades import TradeBatch, TradeSource

Span = tuple[int, int]  # [start, end) in UTC epoch milliseconds
RUNS_MAX: Final = 256  # one run per hole in the sequence; beyond it the newest are forgotten, which loses only coverage


class Run(msgspec.Struct, frozen=True, array_like=True):
    """Batches first..end-1 of a session arrived without a hole; the spans they assert, merged, oldest first."""

    first: int
    end: int
    spans: tuple[Span, ...]


class SessionCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """The batches of one session that are durable, whatever order they came in.

    symbols:      every symbol a batch of the session named; a symbol named later is vouched for from the start, because
                  the session would have carried its trades.
    runs:         disjoint runs of sequences, lowest first; only a run that begins at 0 asserts anything.
    watermark_ms: the latest of any batch, also beyond a hole.
    """

    exchange: str
    session: str
    session_started_at_ms: int
    source: TradeSource
    symbols: tuple[str, ...]
    runs: tuple[Run, ...] = ()
    watermark_ms: int = 0

    @classmethod
    def beginning(cls, batch: TradeBatch) -> Self:
        """The batch's session before any of its batches."""
        return cls(
            exchange=batch.exchange,
            session=batch.session,
            session_started_at_ms=batch.session_started_at_ms,
            source=batch.source,
            symbols=batch.symbols,
        )

    @property
    def asserted(self) -> tuple[Span, ...]:
        """Spans in which every trade of the session's symbols is in the batches that arrived."""
        return self.runs[0].spans if self.runs and self.runs[0].first == 0 else ()

    def holds(self, sequence: int) -> bool:
        """Whether the batch is durable already."""
        return any(run.first <= sequence < run.end for run in self.runs)

    def joined(self, batch: TradeBatch) -> "SessionCoverage":
        """The same with the batch; unchanged where it is a repetition."""
        if self.holds(batch.sequence):
            return self
        span = (batch.covers_from_ms, batch.watermark_ms)
        spans = (span,) if span[0] < span[1] else ()
        return self._with(Run(batch.sequence, batch.sequence + 1, spans), batch.symbols, batch.watermark_ms)

    def merged(self, other: "SessionCoverage") -> "SessionCoverage":
        """What two writers know of one session, together."""
        result = self
        for run in other.runs:
            result = result._with(run, other.symbols, other.watermark_ms)
        return result

    def _with(self, run: Run, symbols: tuple[str, ...], watermark_ms: int) -> "SessionCoverage":
        if symbols != self.symbols:
            symbols = (*self.symbols, *(symbol for symbol in symbols if symbol not in self.symbols))
        if len(self.runs) == 1 and self.runs[0].end == run.first:  # in order: the usual case
            last = self.runs[0]
            runs: tuple[Run, ...] = (Run(last.first, run.end, merged_spans(last.spans + run.spans)),)
        else:
            runs = _merged_runs((*self.runs, run))[:RUNS_MAX]
        latest_ms = max(watermark_ms, self.watermark_ms)
        return msgspec.structs.replace(self, symbols=symbols, runs=runs, watermark_ms=latest_ms)


def merged_spans(spans: tuple[Span, ...]) -> tuple[Span, ...]:
    """The union of the spans, disjoint, oldest first."""
    if len(spans) == 2 and spans[0][0] <= spans[1][0] <= spans[0][1]:  # noqa: PLR2004 - the usual case: one span grows
        return ((spans[0][0], max(spans[0][1], spans[1][1])),)
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return tuple(merged)


def _merged_runs(runs: tuple[Run, ...]) -> tuple[Run, ...]:
    merged: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.first, run.end)):
        if merged and run.first <= merged[-1].end:
            last = merged[-1]
            merged[-1] = Run(last.first, max(last.end, run.end), merged_spans(last.spans + run.spans))
        else:
            merged.append(run)
    return tuple(merged)
