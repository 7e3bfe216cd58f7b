"""The files of a backtest: trades.csv, decisions.csv, equity.csv, metrics.json, report.html. Same input, same bytes."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from research.evaluation import Evaluation
from research.history import History
from research.portfolio import Book
from research.report import report_html
from shared.deciding.active import ActiveStrategy
from shared.domain.decisions import Decision
from shared.domain.signals import Signal

_TRADE_COLUMNS: Final = "signal_id,side,opened_at_ms,closed_at_ms,reason,resolution,quantity,entry_price,exit_price,fees,costs,profit,return_pct"


def write_results(
    folder: Path,
    *,
    title: str,
    facts: Sequence[tuple[str, str]],
    metrics: dict[str, Any],
    book: Book,
    history: History,
    active: ActiveStrategy,
    evaluation: Evaluation,
    decisions: Sequence[Decision],
) -> None:
    """All five; the folder is there."""
    (folder / "trades.csv").write_text(_trades(book), encoding="utf-8")
    (folder / "decisions.csv").write_text(_decisions(active, evaluation, decisions), encoding="utf-8")
    (folder / "equity.csv").write_text(_equity(book), encoding="utf-8")
    told = {"title": title, "facts": dict(facts), **metrics}
    (folder / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n")
    (folder / "report.html").write_text(report_html(title, facts, metrics, book, history), encoding="utf-8")


def signal_lines(signals: Iterable[Signal]) -> bytes:
    """signals.jsonl, as `cst replay` writes it."""
    return b"".join(msgspec.json.encode(signal) + b"\n" for signal in signals)


def _trades(book: Book) -> str:
    names = _TRADE_COLUMNS.split(",")
    return _csv(names, ([getattr(trade, name) for name in names] for trade in book.trades))


def _equity(book: Book) -> str:
    rows = zip(book.closes_ms.tolist(), book.equity.tolist(), book.exposure.tolist(), strict=True)
    return _csv(["close_time_ms", "equity", "exposure"], rows)


def _decisions(active: ActiveStrategy, evaluation: Evaluation, decisions: Sequence[Decision]) -> str:
    """One row per candle: what was asked for, the gates that failed, and each test with value, threshold and verdict."""
    by_close = {decision.close_time_ms: decision for decision in decisions if decision.strategy == active.name}
    tests = [f"{name}:{part}" for name in evaluation.names for part in ("value", "threshold", "passed")]
    head = ["open_time_ms", "close_time_ms", "action", "trigger", "score", "gates_failed", "alerts", *tests]
    return _csv(head, _decision_rows(active, evaluation, by_close))


def _decision_rows(
    active: ActiveStrategy, evaluation: Evaluation, by_close: dict[int, Decision]
) -> Iterable[list[object]]:
    parts = np.stack([evaluation.values, evaluation.thresholds, evaluation.passed], axis=2)
    for close_ms, tests in zip(evaluation.closes_ms.tolist(), parts.reshape(len(parts), -1).tolist(), strict=True):
        decision = by_close.get(close_ms)
        said: list[object] = ["none", "", "", "", ""]
        if decision is not None:
            failed = " ".join(gate.name for gate in decision.gates if not gate.passed)
            score = "" if decision.score is None else decision.score
            said = [decision.action.value, decision.trigger, score, failed, " ".join(decision.alerts)]
        shown = ["" if value != value else value for value in tests]  # noqa: PLR0124 - NaN: the test had no value
        yield [close_ms - active.timeframe.duration_ms, close_ms, *said, *shown]


def _csv(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
