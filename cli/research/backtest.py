"""The command behind `cst backtest`."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from cli.folders import make_folder
from cli.replay.biases import load_biases
from cli.research.sources import Source, from_file, from_store, span_of, utc_text
from research.alerts import HORIZONS, alert_study
from research.backtest import Backtest, run_backtest
from research.history import history_of
from research.outputs import signal_lines, write_results
from research.portfolio import Account
from research.recipe import Recipe
from shared.deciding.active import ActiveStrategy
from shared.domain.checks import check_name
from shared.domain.errors import PermanentError
from shared.domain.timeframe import Timeframe
from shared.runtime.config import ConfigError, StrategyConfig, load_config
from shared.strategies.registry import STRATEGIES


class BacktestRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asked for. timeframe: the strategy's; empty: as configured."""

    strategy: str
    candles: Path | None
    exchange: str
    symbol: str
    timeframe: str
    from_text: str
    to_text: str
    out: Path
    account: Account
    parameters: tuple[str, ...] = ()
    on_opposite: str = ""
    max_age_candles: int | None = None
    bias_file: Path | None = None
    config_file: Path = Path("config/tracker.yaml")


def run(request: BacktestRequest) -> dict[str, Any]:
    """Backtest and write the results; returns the metrics. Every fault is a PermanentError of one line."""
    active = chosen(request)
    source = load(request)
    make_folder(request.out)
    history = history_of(source.candles, active.strategy.needs)
    found = run_backtest(active, history, request.account, biases=load_biases(request.bias_file))
    title = f"{active.name} {active.timeframe} on {history.exchange} {history.symbol}"
    write_results(
        request.out,
        title=title,
        facts=_facts(request, active, source, found),
        metrics=found.metrics,
        book=found.book,
        history=history,
        active=active,
        evaluation=found.evaluation,
        decisions=found.simulated.decisions,
    )
    if active.strategy.alert_rules:
        study = alert_study(found.simulated.alerts, history, active.timeframe, found.evaluation.closes_ms)
        (request.out / "alerts.json").write_bytes(msgspec.json.format(msgspec.json.encode(study), indent=2) + b"\n")
        _say_alerts(study)
    (request.out / "signals.jsonl").write_bytes(signal_lines(found.simulated.signals))
    _say(found, source, request.out)
    return found.metrics


def chosen(request: BacktestRequest) -> ActiveStrategy:
    """The strategy: of the configuration by its name there, else by its kind with its defaults; parameters replaced."""
    return recipe_of(request).active({})


def recipe_of(request: BacktestRequest) -> Recipe:
    """How the strategy is built; raises PermanentError for an unknown one or a wrong option."""
    item = _configured_as(request)
    if request.on_opposite not in {"", "ignore", "close"}:
        raise PermanentError(f"--on-opposite must be ignore or close, was {request.on_opposite!r}")
    age = item.max_age_candles if request.max_age_candles is None else request.max_age_candles or None
    own = {**item.parameters, **item.symbols.get(request.symbol, {}), **parameters_of(request.parameters)}
    return Recipe(
        name=item.name,
        kind=item.kind or item.name,
        timeframe=timeframe_of(request.timeframe) if request.timeframe else item.timeframe,
        parameters=own,
        max_age_candles=age,
        on_opposite=request.on_opposite or item.on_opposite,
    )


def load(request: BacktestRequest) -> Source:
    """The candles asked for."""
    check_name(request.exchange, "exchange", "--exchange")
    check_name(request.symbol, "symbol", "--symbol")
    span = span_of(request.from_text, request.to_text)
    if request.candles is not None:
        return from_file(request.candles, request.exchange, request.symbol, span)
    return asyncio.run(from_store(request.exchange, request.symbol, span))


def timeframe_of(text: str) -> Timeframe:
    """By its name."""
    try:
        return Timeframe(text)
    except ValueError as error:
        known = ", ".join(timeframe.value for timeframe in Timeframe)
        raise PermanentError(f"--timeframe must be one of {known}, was {text!r}") from error


def parameters_of(texts: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE each; a value is JSON where it can be, else text."""
    found: dict[str, Any] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise PermanentError(f"--set must be NAME=VALUE, was {text!r}")
        try:
            found[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            found[name] = value
    return found


def _configured_as(request: BacktestRequest) -> StrategyConfig:
    try:
        known = {item.name: item for item in load_config(request.config_file).strategies}
    except ConfigError:
        if request.strategy not in STRATEGIES or request.config_file.exists():
            raise
        known = {}  # a backtest of a kind by its defaults needs no configuration
    if request.strategy in known:
        return known[request.strategy]
    if request.strategy in STRATEGIES:
        return StrategyConfig(name=request.strategy)
    names = ", ".join(sorted({*known, *STRATEGIES}))
    raise PermanentError(f"--strategy must be one of {names}, was {request.strategy!r}")


def _facts(request: BacktestRequest, active: ActiveStrategy, source: Source, found: Backtest) -> list[tuple[str, str]]:
    first, last = source.candles[0], source.candles[-1]
    costs = request.account.costs
    parameters = active.parameters(request.symbol)
    ended: dict[str, int] = {}
    for trade in found.book.trades:
        ended[trade.reason] = ended.get(trade.reason, 0) + 1
    return [
        ("candles", f"{len(source.candles):,} of {first.timeframe} from {source.name}"),
        ("time", f"{utc_text(first.open_time_ms)} to {utc_text(last.close_time_ms)} UTC"),
        ("absent", source.gaps_text),
        (
            "costs of a fill",
            f"fee {costs.fee_bps:g} bps, half of a spread of {costs.spread_bps:g} bps, slippage {costs.slippage_bps:g} bps",
        ),
        (
            "account",
            f"{request.account.start_cash:,.0f} at first, {request.account.fraction:g} of equity per position unless the strategy sizes it",
        ),
        ("parameters", ", ".join(f"{name} {value}" for name, value in parameters.items())),
        ("opposite entry", f"{active.on_opposite}; oldest age {active.max_age_candles} candles"),
        ("ends", ", ".join(f"{count} {reason}" for reason, count in sorted(ended.items())) or "none"),
        (
            "paid",
            f"{sum(t.fees for t in found.book.trades):,.2f} fees, {sum(t.costs for t in found.book.trades):,.2f} spread and slippage",
        ),
        ("alerts", f"{len(found.simulated.alerts):,}"),
    ]


def _say_alerts(study: dict[str, Any]) -> None:
    print(f"{study['alerts']:,} alerts, {study['per_day']:.2f} a day; mean % in their direction (random times), p:")
    for key, found in study["by_alert"].items():
        steps = [found[f"after_{step}"] for step in HORIZONS]
        told = [f"{one['mean_pct']:+.3f} ({one['random_pct']:+.3f}) p {one['p']:.2f}" for one in steps if one["count"]]
        print(f"{key:>22} {found['count']:>4}   {'   '.join(told)}")


def _say(found: Backtest, source: Source, out: Path) -> None:
    metrics = found.metrics
    if source.holes:
        print(f"absent: {source.gaps_text}")
    if "note" in metrics:
        print(metrics["note"])
    for name, value in metrics.items():
        if isinstance(value, dict):
            print(f"{name:>20} {value['value']:>12,.3f}   ({value['low']:,.3f} … {value['high']:,.3f})")
    print(f"{len(found.evaluation.closes_ms):,} decisions, {metrics['trades']:,} trades; written to {out}")
