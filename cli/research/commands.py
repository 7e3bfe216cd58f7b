"""The commands of research as `cst` lists them; what each needs is imported when it runs."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path, typer.Option(help="Configuration.", envvar="TRACKER_CONFIG")]
CONFIG = Path("config/tracker.yaml")


def backtest(
    strategy: Annotated[str, typer.Option(help="Its name in the configuration, or its kind.")],
    exchange: Annotated[str, typer.Option(help="Venue and market, e.g. binance-spot.")],
    symbol: Annotated[str, typer.Option(help="As the venue writes it.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; created when absent.")],
    candles: Annotated[Path | None, typer.Option(help="CSV[.gz] of candles; without it the store's.")] = None,
    timeframe: Annotated[str, typer.Option(help="The strategy's; as configured by default.")] = "",
    from_: Annotated[str, typer.Option("--from", help="Not before, e.g. 2023-03-10 (UTC).")] = "",
    to: Annotated[str, typer.Option("--to", help="Before, e.g. 2023-04-01 (UTC).")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="NAME=VALUE, a parameter; repeatable.")] = None,
    on_opposite: Annotated[str, typer.Option(help="ignore or close: what an exit or opposite entry does.")] = "",
    max_age: Annotated[int | None, typer.Option(help="Candles after which a signal ends; 0: never.")] = None,
    cash: Annotated[float, typer.Option(help="Quote currency at first.")] = 10_000.0,
    fraction: Annotated[float, typer.Option(help="Of equity per position, unless the strategy sizes it.")] = 1.0,
    fee_bps: Annotated[float, typer.Option(help="Of each fill's notional.")] = 10.0,
    spread_bps: Annotated[float, typer.Option(help="The whole spread; a fill pays half of it.")] = 2.0,
    slippage_bps: Annotated[float, typer.Option(help="Of each fill's price.")] = 1.0,
    bias: Annotated[Path | None, typer.Option(help="Macro biases in force, as `cst macro` writes them.")] = None,
    config: ConfigFile = CONFIG,
) -> None:
    """What a strategy would have done on recorded candles, costs paid: trades, decisions, equity, metrics, a report."""
    _kernels()
    from cli.research.backtest import BacktestRequest, run
    from research.portfolio import Account, Costs

    costs = Costs(fee_bps=fee_bps, spread_bps=spread_bps, slippage_bps=slippage_bps)
    request = BacktestRequest(
        strategy=strategy,
        candles=candles,
        exchange=exchange,
        symbol=symbol,
        timeframe=timeframe,
        from_text=from_,
        to_text=to,
        out=out,
        account=Account(start_cash=cash, fraction=fraction, costs=costs),
        parameters=tuple(set_ or ()),
        on_opposite=on_opposite,
        max_age_candles=max_age,
        bias_file=bias,
        config_file=config,
    )
    run(request)


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


def register(app: typer.Typer) -> None:
    """Add them."""
    app.command("backtest")(backtest)
    app.command("parity")(parity)


def _kernels() -> None:
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
