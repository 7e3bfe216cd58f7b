"""The commands of research as `cst` lists them; what each needs is imported when it runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shared.domain.errors import PermanentError

if TYPE_CHECKING:
    from cli.research.backtest import BacktestRequest

ConfigFile = Annotated[Path, typer.Option(help="Configuration.", envvar="TRACKER_CONFIG")]
CONFIG = Path("config/tracker.yaml")


# The options that all of them share.
StrategyName = Annotated[str, typer.Option(help="Its name in the configuration, or its kind.")]
Exchange = Annotated[str, typer.Option(help="Venue and market, e.g. binance-spot.")]
Symbol = Annotated[str, typer.Option(help="As the venue writes it.")]
Out = Annotated[Path, typer.Option(help="Folder to write to; created when absent.")]
Candles = Annotated[Path | None, typer.Option(help="CSV[.gz] of candles; without it the store's.")]
TimeframeName = Annotated[str, typer.Option(help="The strategy's; as configured by default.")]
From = Annotated[str, typer.Option("--from", help="Not before, e.g. 2023-03-10 (UTC).")]
To = Annotated[str, typer.Option("--to", help="Before, e.g. 2023-04-01 (UTC).")]
Set = Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter; repeatable.")]
OnOpposite = Annotated[str, typer.Option(help="ignore or close: what an exit or opposite entry does.")]
MaxAge = Annotated[int | None, typer.Option(help="Candles after which a signal ends; 0: never.")]
Cash = Annotated[float, typer.Option(help="Quote currency at first.")]
Fraction = Annotated[float, typer.Option(help="Of equity per position, unless the strategy sizes it.")]
FeeBps = Annotated[float, typer.Option(help="Of each fill's notional.")]
SpreadBps = Annotated[float, typer.Option(help="The whole spread; a fill pays half of it.")]
SlippageBps = Annotated[float, typer.Option(help="Of each fill's price.")]
Grid = Annotated[list[str] | None, typer.Option("--grid", help="NAME=V1,V2,... what varies; repeatable.")]
Random = Annotated[int, typer.Option(help="Only so many sets of the grid, by chance; 0: all.")]
Seed = Annotated[int, typer.Option(help="Of the chance.")]
TradesMin = Annotated[int, typer.Option(help="A set with fewer trades is not chosen.")]


def backtest(
    strategy: StrategyName,
    exchange: Exchange,
    symbol: Symbol,
    out: Out,
    candles: Candles = None,
    timeframe: TimeframeName = "",
    from_: From = "",
    to: To = "",
    set_: Set = None,
    on_opposite: OnOpposite = "",
    max_age: MaxAge = None,
    cash: Cash = 10_000.0,
    fraction: Fraction = 1.0,
    fee_bps: FeeBps = 10.0,
    spread_bps: SpreadBps = 2.0,
    slippage_bps: SlippageBps = 1.0,
    bias: Annotated[Path | None, typer.Option(help="Macro biases in force, as `cst macro` writes them.")] = None,
    config: ConfigFile = CONFIG,
) -> None:
    """What a strategy would have done on recorded candles, costs paid: trades, decisions, equity, metrics, a report."""
    request = _request(bias=bias, **_given(locals()))
    from cli.research.backtest import run

    run(request)


def sweep(
    strategy: StrategyName,
    exchange: Exchange,
    symbol: Symbol,
    out: Out,
    grid: Grid = None,
    candles: Candles = None,
    timeframe: TimeframeName = "",
    from_: From = "",
    to: To = "",
    set_: Set = None,
    on_opposite: OnOpposite = "",
    max_age: MaxAge = None,
    cash: Cash = 10_000.0,
    fraction: Fraction = 1.0,
    fee_bps: FeeBps = 10.0,
    spread_bps: SpreadBps = 2.0,
    slippage_bps: SlippageBps = 1.0,
    random: Random = 0,
    seed: Seed = 1,
    trades_min: TradesMin = 20,
    top: Annotated[int, typer.Option(help="So many on the screen.")] = 10,
    scheduler: Annotated[
        str, typer.Option(help="A running Dask scheduler, tcp://host:8786; without it this machine.")
    ] = "",
    config: ConfigFile = CONFIG,
) -> None:
    """Many parameter sets over the same candles: a table, a heat map, the best few. In sample: see walk-forward."""
    request = _request(**_given(locals()))
    from cli.research.searching import Search, run_sweep

    axes = tuple(grid or ())
    search = Search(axes=axes, random=random, seed=seed, top=top, trades_min=trades_min, scheduler=scheduler)
    run_sweep(request, search)


def walk_forward(
    strategy: StrategyName,
    exchange: Exchange,
    symbol: Symbol,
    out: Out,
    grid: Grid = None,
    candles: Candles = None,
    timeframe: TimeframeName = "",
    from_: From = "",
    to: To = "",
    set_: Set = None,
    on_opposite: OnOpposite = "",
    max_age: MaxAge = None,
    cash: Cash = 10_000.0,
    fraction: Fraction = 1.0,
    fee_bps: FeeBps = 10.0,
    spread_bps: SpreadBps = 2.0,
    slippage_bps: SlippageBps = 1.0,
    random: Random = 0,
    seed: Seed = 1,
    trades_min: TradesMin = 20,
    folds: Annotated[int, typer.Option(help="How many times it is chosen anew.")] = 5,
    first_share: Annotated[float, typer.Option(help="Of the candles, before the first fold.")] = 0.5,
    window: Annotated[str, typer.Option(help="expanding or rolling: what training sees.")] = "expanding",
    purge: Annotated[int, typer.Option(help="Candles before a fold that training may not know.")] = 1,
    embargo: Annotated[int, typer.Option(help="Candles of a fold that open nothing.")] = 1,
    config: ConfigFile = CONFIG,
) -> None:
    """Choose on what was known, judge on what came after; only the latter is summed up."""
    request = _request(**_given(locals()))
    from typing import Literal, cast

    from cli.research.searching import Search, run_walk_forward
    from research.walk_forward import Plan

    if window not in {"expanding", "rolling"}:
        raise PermanentError(f"--window must be expanding or rolling, was {window!r}")
    plan = Plan(
        folds=folds,
        first_share=first_share,
        window=cast("Literal['expanding', 'rolling']", window),
        purge=purge,
        embargo=embargo,
        trades_min=trades_min,
    )
    run_walk_forward(request, Search(axes=tuple(grid or ()), random=random, seed=seed), plan)


def significance(
    strategy: StrategyName,
    exchange: Exchange,
    symbol: Symbol,
    grid: Grid = None,
    candles: Candles = None,
    timeframe: TimeframeName = "",
    from_: From = "",
    to: To = "",
    set_: Set = None,
    on_opposite: OnOpposite = "",
    max_age: MaxAge = None,
    fee_bps: FeeBps = 10.0,
    spread_bps: SpreadBps = 2.0,
    slippage_bps: SlippageBps = 1.0,
    random: Random = 0,
    seed: Seed = 1,
    trades_min: TradesMin = 20,
    config: ConfigFile = CONFIG,
) -> None:
    """The rule's entries against random ones with the same exposure; with --grid the best of many, corrected for trying them."""
    request = _request(out=Path(), cash=10_000.0, fraction=1.0, **_given(locals()))
    from cli.research.searching import Search, run_significance

    run_significance(request, Search(axes=tuple(grid or ()), random=random, seed=seed, trades_min=trades_min))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """What makes a request, of a command's options."""
    return {name: value for name, value in options.items() if name in _REQUEST}


_REQUEST = frozenset(
    [
        "strategy",
        "exchange",
        "symbol",
        "out",
        "candles",
        "timeframe",
        "from_",
        "to",
        "set_",
        "on_opposite",
        "max_age",
        "cash",
        "fraction",
        "fee_bps",
        "spread_bps",
        "slippage_bps",
        "config",
    ]
)


def _request(*, bias: Path | None = None, **given: Any) -> "BacktestRequest":
    _kernels()
    from cli.research.backtest import BacktestRequest
    from research.portfolio import Account, Costs

    costs = Costs(fee_bps=given["fee_bps"], spread_bps=given["spread_bps"], slippage_bps=given["slippage_bps"])
    return BacktestRequest(
        strategy=given["strategy"],
        candles=given["candles"],
        exchange=given["exchange"],
        symbol=given["symbol"],
        timeframe=given["timeframe"],
        from_text=given["from_"],
        to_text=given["to"],
        out=given["out"],
        account=Account(start_cash=given["cash"], fraction=given["fraction"], costs=costs),
        parameters=tuple(given["set_"] or ()),
        on_opposite=given["on_opposite"],
        max_age_candles=given["max_age"],
        bias_file=bias,
        config_file=given["config"],
    )


def parity(
    from_: Annotated[str, typer.Option("--from", help="Not before (UTC); yesterday 00:00 by default.")] = "",
    to: Annotated[str, typer.Option("--to", help="Before (UTC); today 00:00 by default.")] = "",
    publish: Annotated[bool, typer.Option(help="Tell it on system-events, as the nightly job does.")] = False,
    config: ConfigFile = CONFIG,
) -> None:
    """Decide every stored Decision again from what was recorded; exit status 1 with the first difference."""
    _kernels()
    from cli.research.parity import run

    raise typer.Exit(run(from_text=from_, to_text=to, config_file=config, publish=publish))


def fetch_candles(
    venue: Annotated[str, typer.Option(help="ccxt's name of it: binance, bybit, kraken, ...")],
    symbol: Annotated[str, typer.Option(help="ccxt's (BTC/USDT) or the venue's own (BTCUSDT).")],
    from_: Annotated[str, typer.Option("--from", help="Not before (UTC).")],
    to: To = "",
    timeframe: Annotated[str, typer.Option(help="Of the candles.")] = "1m",
    out: Annotated[Path | None, typer.Option(help=".csv or .parquet; without it the store.")] = None,
    exchange: Annotated[str, typer.Option(help="Our name of venue and market, for the store: binance-spot.")] = "",
    rest_url: Annotated[str, typer.Option(help="Another address of the venue (a proxy, a test).")] = "",
    page_size: Annotated[int, typer.Option(help="Candles per request.", min=1)] = 1_000,
) -> None:
    """Candles of any venue that ccxt knows, into the store or a file: goes on where it ended, lists what is absent."""
    from cli.research.backtest import timeframe_of
    from cli.research.fetch import FetchRequest, run_fetch
    from cli.research.sources import span_of

    if out is None and not exchange:
        raise PermanentError("--exchange must say under which name the store keeps them, or --out name a file")
    request = FetchRequest(
        venue=venue,
        exchange=exchange or venue,
        symbol=symbol,
        timeframe=timeframe_of(timeframe),
        span=span_of(from_, to),
        out=out,
        rest_url=rest_url,
        page_size=page_size,
    )
    run_fetch(request)


def export(
    kind: Annotated[str, typer.Argument(help="signals, decisions, trades (the tape's) or candles.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    file_format: Annotated[str, typer.Option("--format", help="csv, parquet or jsonl.")] = "csv",
    from_: From = "",
    to: To = "",
    timeframe: Annotated[str, typer.Option(help="Of candles.")] = "1m",
    config: ConfigFile = CONFIG,
) -> None:
    """What the store holds of the configured markets and strategies, as a file."""
    from cli.research.backtest import timeframe_of
    from cli.research.export import ExportRequest, run_export
    from cli.research.sources import span_of
    from shared.runtime.config import load_config

    found = load_config(config)
    markets = [(name, one) for name, followed in found.venues.items() for one in followed.symbols]
    request = ExportRequest(
        kind=kind,
        file_format=file_format,
        out=out,
        span=span_of(from_, to),
        timeframe=timeframe_of(timeframe),
        markets=tuple(markets),
        strategies=tuple((item.name, item.timeframe) for item in found.strategies),
    )
    run_export(request)


def register(app: typer.Typer) -> None:
    """Add them."""
    app.command("backtest")(backtest)
    app.command("sweep")(sweep)
    app.command("walk-forward")(walk_forward)
    app.command("significance")(significance)
    app.command("parity")(parity)
    app.command("fetch-candles")(fetch_candles)
    app.command("export")(export)


def _kernels() -> None:
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
