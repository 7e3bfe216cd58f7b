"""The `cst` command. Heavy imports stand inside the commands, so that `cst --help` is quick."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from cli.dead_letters.commands import app as dead_letters_app
from cli.research.commands import register as register_research
from shared.domain.errors import PermanentError, TransientError
from shared.runtime.settings import read_env_file

app = typer.Typer(
    name="cst",
    help="Crypto Signal Tracker: run it, look into it, replay the past through it. Not financial advice.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
services_app = typer.Typer(
    help="Run the services of this machine (start_services.sh calls these).", no_args_is_help=True
)
config_app = typer.Typer(help="The configuration file.", no_args_is_help=True)
schemas_app = typer.Typer(help="JSON Schemas of the events.", no_args_is_help=True)
app.add_typer(services_app, name="services")
app.add_typer(config_app, name="config")
app.add_typer(schemas_app, name="schemas")
infra_app = typer.Typer(
    help="Topics, subscriptions and tables of infra/topology.yaml, on emulators.", no_args_is_help=True
)
app.add_typer(infra_app, name="infra")

tape_app = typer.Typer(help="The stored tape of trades.", no_args_is_help=True)
app.add_typer(tape_app, name="tape")

app.add_typer(dead_letters_app, name="dead-letters")

ENV_EXAMPLE = Path(__file__).resolve().parents[1] / ".env.example"
INFRA_SETTINGS = ENV_EXAMPLE.parent / "infra" / "settings.yaml"
METRICS_PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
STARTS_AT = "The market's time of day at the start, HH:MM in UTC; empty: as it is now. 23:50 soon closes a day."
SCHEMAS_DIR = Path(__file__).resolve().parents[1] / "infra" / "schemas"


@services_app.command("demo")
def services_demo(
    speed: Annotated[float, typer.Option(help="Market seconds per second.", envvar="DEMO_SPEED", min=0.1, max=60)] = 20,
    port: Annotated[int, typer.Option(help="Port of the simulator.", envvar="SIMULATOR_PORT")] = 8790,
    starts_at: Annotated[str, typer.Option(help=STARTS_AT, envvar="DEMO_STARTS_AT")] = "",
) -> None:
    """A simulated market on this machine: candles, signals, messages, charts. Ctrl-C ends it."""
    _run_mode("demo", speed=speed, port=port, starts_at=starts_at)


@services_app.command("live")
def services_live() -> None:
    """The exchanges of config/tracker.yaml; Telegram when a token is set. Ctrl-C ends it."""
    _run_mode("live", speed=1, port=0)


@services_app.command("emulators")
def services_emulators(
    speed: Annotated[float, typer.Option(help="Market seconds per second.", envvar="DEMO_SPEED", min=0.1, max=60)] = 20,
    port: Annotated[int, typer.Option(help="Port of the simulator.", envvar="SIMULATOR_PORT")] = 8790,
    starts_at: Annotated[str, typer.Option(help=STARTS_AT, envvar="DEMO_STARTS_AT")] = "",
) -> None:
    """The demo over the emulators of Pub/Sub and Bigtable and a real Redis, all started here. Ctrl-C ends it."""
    _run_mode("emulators", speed=speed, port=port, starts_at=starts_at)


@services_app.command("cloud")
def services_cloud() -> None:
    """As `live`, against the Pub/Sub, Bigtable and Redis of a real project; names what it lacks, makes nothing."""
    _run_mode("cloud", speed=1, port=0)


def _run_mode(mode: str, *, speed: float, port: int, starts_at: str = "") -> NoReturn:
    from cli.supervisor.plan import make_plan
    from cli.supervisor.run import run

    sys.exit(run(make_plan(mode, speed=speed, simulator_port=port, starts_at=starts_at)))


@services_app.command("stop")
def services_stop() -> None:
    """End every service that was started in this folder, in whatever mode."""
    from cli.supervisor.plan import MODES, SERVICES, mode_data_dir
    from cli.supervisor.processes import stop_all, stop_supervisors

    run_dirs = [mode_data_dir(mode) / "run" for mode in MODES]
    lines = stop_supervisors(run_dirs)
    lines += [line for run_dir in run_dirs for line in stop_all(run_dir, SERVICES)]
    print("\n".join(lines) or "nothing runs here")


@services_app.command("status")
def services_status() -> None:
    """What runs: PIDs, memory, watermark ages, backlog of the disk. Exit status 1 when something is down."""
    from cli.supervisor.status import print_status

    sys.exit(print_status())


@config_app.command("check")
def config_check(
    path: Annotated[Path, typer.Argument(help="The file.", envvar="TRACKER_CONFIG")] = Path("config/tracker.yaml"),
) -> None:
    """Check the file against its schema, and every strategy's parameters against the strategy."""
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
    from services.logic_engine.configured import configured
    from shared.runtime.config import load_config

    config = load_config(path)
    for strategy in config.strategies:
        configured(strategy)
    symbols = sum(len(venue.symbols) for venue in config.venues.values())
    names = ", ".join(strategy.name for strategy in config.enabled_strategies)
    print(f"{path}: valid; {len(config.venues)} venue(s), {symbols} symbols, strategies: {names}")


@config_app.command("env-example")
def config_env_example() -> None:
    """Write .env.example and infra/settings.yaml anew from the settings of every service."""
    from cli.env_example import write_env_example
    from cli.infra_settings import write_infra_settings

    write_env_example(ENV_EXAMPLE)
    write_infra_settings(INFRA_SETTINGS)
    print(f"{ENV_EXAMPLE.name}\ninfra/{INFRA_SETTINGS.name}")


@config_app.command("metrics")
def config_metrics() -> None:
    """Write docs/metrics.md anew from the declared metrics."""
    from cli.metrics_page import write_metrics_page

    write_metrics_page(METRICS_PAGE)
    print(METRICS_PAGE.name)


@schemas_app.command("write")
def schemas_write() -> None:
    """Write infra/schemas/ anew from the event types."""
    from cli.schemas import write_schemas

    for file in write_schemas(SCHEMAS_DIR):
        print(file.name)


@infra_app.command("create")
def infra_create() -> None:
    """Make what is missing on the emulators that PUBSUB_EMULATOR_HOST and BIGTABLE_EMULATOR_HOST name."""
    from cli.infra import create

    _print_names("made", create())


@infra_app.command("check")
def infra_check() -> None:
    """Name everything the chosen project or emulators lack; exit status 1 then. Makes nothing."""
    from cli.infra import check

    lacking = check()
    _print_names("missing", lacking)
    sys.exit(1 if lacking else 0)


@infra_app.command("delete")
def infra_delete() -> None:
    """Remove everything declared from the emulators, with all that is in it."""
    from cli.infra import delete

    _print_names("removed", delete())


def _print_names(verb: str, names: list[str]) -> None:
    print("\n".join(f"{verb}: {name}" for name in names) or f"nothing {verb}")


@app.command("compile-kernels")
def compile_kernels() -> None:
    """Compile every kernel into the cache, so that no service compiles while it serves, and no first backtest for seconds."""
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
    from cli.replay.reader import warm_up as warm_up_reader
    from research.fast import warm_up as warm_up_research
    from shared.domain.splitting import warm_up as warm_up_splitting
    from shared.strategies.registry import warm_up

    compiled = [*warm_up(), *warm_up_splitting(), *warm_up_reader(), *warm_up_research()]
    print(f"kernels ready: {len(compiled)}")


@app.command("indicators")
def write_indicators(
    market_data: Annotated[
        Path, typer.Option(help="Recorded market data; its SPY bars are used.", envvar="MARKET_DATA")
    ],
    file: Annotated[Path, typer.Option(help="Page to write.")] = Path("docs/indicators.md"),
) -> None:
    """Write the page about every indicator, its seeding, its warm-up and its largest difference to TA-Lib."""
    from cli.indicators import document
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
    file.write_text(document(market_data), encoding="utf-8")
    print(f"written: {file}")


@app.command("replay")
def replay(
    exchange: Annotated[str, typer.Option(help="Venue and market of the data, e.g. binance-spot.")],
    out: Annotated[Path, typer.Option(help="Folder to write to; created when absent.")],
    trades: Annotated[
        Path | None, typer.Option(help="Tape: CSV or CSV.gz with event_time, symbol, trade_id, price, ...")
    ] = None,
    candles: Annotated[
        list[Path] | None,
        typer.Option(help="In place of a tape: candles of one symbol per file, Binance, Bybit or Kraken."),
    ] = None,
    symbol: Annotated[
        list[str] | None, typer.Option(help="Symbols of the candle files; else from their names.")
    ] = None,
    strategy: Annotated[list[str] | None, typer.Option(help="Only these strategies of the configuration.")] = None,
    timeframes: Annotated[str, typer.Option(help="Candles to write, e.g. 1m,5m; all by default.")] = "",
    config: Annotated[Path, typer.Option(help="Configuration.", envvar="TRACKER_CONFIG")] = Path("config/tracker.yaml"),
    bias: Annotated[Path | None, typer.Option(help="Macro biases in force, as `cst macro` writes them.")] = None,
) -> None:
    """Run the services' own cores over a recorded tape or over candles: candles, decisions, signals, messages as files."""
    from cli.supervisor.plan import use_kernel_cache

    if (trades is None) == (not candles):
        raise PermanentError("either --trades or --candles is needed")
    use_kernel_cache()
    if candles:
        from cli.replay.candle_command import run_candle_replay

        run_candle_replay(
            files=candles,
            symbols=symbol or [],
            exchange=exchange,
            out=out,
            strategy_names=strategy or [],
            timeframes=timeframes,
            config_file=config,
            bias_file=bias,
        )
    if trades is None:
        return
    from cli.replay.command import run_replay

    run_replay(
        trades=trades,
        exchange=exchange,
        out=out,
        strategy_names=strategy or [],
        timeframes=timeframes,
        config_file=config,
        bias_file=bias,
    )


@tape_app.command("export")
def tape_export(
    begin: Annotated[str, typer.Option("--from", help="First minute, e.g. 2026-11-20T13:00 (UTC).")],
    end: Annotated[str, typer.Option("--to", help="The minute after the last one.")],
    out: Annotated[Path, typer.Option(help="CSV or CSV.gz; its batches go to <out>.batches.jsonl.")],
    exchange: Annotated[str, typer.Option(help="Which venue's trades.")] = "bybit-linear",
    config: Annotated[Path, typer.Option(help="Configuration.", envvar="TRACKER_CONFIG")] = Path("config/tracker.yaml"),
) -> None:
    """Write the stored tape in the format that `cst replay` reads, with the batches as they came."""
    from cli.tape.export import run_export
    from cli.verify.command import time_ms_of

    done = run_export(exchange, time_ms_of(begin, "--from"), time_ms_of(end, "--to"), out, config)
    print(f"{done.trades:,} trades in {done.batches:,} batches written to {out}")


@app.command("verify")
def verify(
    trades: Annotated[Path | None, typer.Option(help="Tape: CSV or CSV.gz, as for replay.")] = None,
    klines: Annotated[
        list[Path] | None, typer.Option(help="The venue's klines, one symbol per file, named after it (_BTCUSDT_).")
    ] = None,
    exchange: Annotated[str, typer.Option(help="Venue and market of the tape.")] = "binance-spot",
    begin: Annotated[str, typer.Option("--from", help="In place of a tape: what is stored from here, UTC.")] = "",
    end: Annotated[str, typer.Option("--to", help="... to here.")] = "",
    config: Annotated[Path, typer.Option(help="Configuration.", envvar="TRACKER_CONFIG")] = Path("config/tracker.yaml"),
) -> None:
    """How good the candles are, by symbol; exit status 1 where one differs from the venue's without a reason."""
    if (trades is None) == (not (begin and end)):
        raise PermanentError("either --trades, or --from and --to are needed")
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
    from cli.verify.command import report, verify_store, verify_tape

    rows = verify_store(begin, end, config) if trades is None else verify_tape(trades, klines or [], exchange)
    sys.exit(report(rows))


@app.command("chart")
def chart(
    subject: Annotated[str, typer.Argument(help="A signal's id, or a symbol.")] = "",
    candles: Annotated[Path | None, typer.Option(help="CSV[.gz] of candles instead of the store.")] = None,
    strategy: Annotated[str, typer.Option(help="With --candles: this strategy's newest entry and what followed.")] = "",
    config: Annotated[Path | None, typer.Option(help="--strategy is a name in this file; else a kind.")] = None,
    timeframe: Annotated[str, typer.Option(help="1m, 5m, 15m, 30m, 1h, 4h, 1d, 1w; a signal's own by default.")] = "",
    exchange: Annotated[str, typer.Option(help="Of a symbol, where the configuration does not say.")] = "",
    at: Annotated[str, typer.Option(help="Nothing that closed later, e.g. 2023-03-10T12:00 (UTC).")] = "",
    theme: Annotated[str, typer.Option(help="dark or light.", envvar="CHART_THEME")] = "dark",
    scale: Annotated[float, typer.Option(help="Pixels per unit of 640 x 720.", envvar="CHART_SCALE")] = 1.5,
    language: Annotated[str, typer.Option(help="Of the words in it.", envvar="NOTIFIER_LANGUAGE")] = "en",
    zone: Annotated[str, typer.Option(help="Of the times in it, e.g. Asia/Ho_Chi_Minh.")] = "UTC",
    out: Annotated[Path | None, typer.Option(help="The PNG to write; chart_<name>.png by default.")] = None,
) -> None:
    """Draw one chart: of a signal, of a symbol, or of a file of candles."""
    from cli.supervisor.plan import use_kernel_cache

    use_kernel_cache()
    from cli.chart import ChartRequest, make_look, run_chart

    request = ChartRequest(
        subject=subject,
        exchange=exchange,
        timeframe=timeframe,
        candles=candles,
        strategy=strategy,
        config=config,
        at=at,
        out=out,
        look=make_look(theme, scale, language, zone),
    )
    print(run_chart(request))


@app.command("macro")
def macro(
    candles: Annotated[Path, typer.Option(help="CSV or CSV.gz of candles of 15m at most (Binance, Bybit, Kraken).")],
    out: Annotated[Path, typer.Option(help="Folder to write to; created when absent.")],
    dxy: Annotated[Path | None, typer.Option(help="Daily closes of DXY: CSV with Date and Close, or JSON.")] = None,
    dominance: Annotated[Path | None, typer.Option(help="Daily BTC dominance in percent: JSON or CSV.")] = None,
    fomc: Annotated[Path | None, typer.Option(help="Decision days: YAML or CSV.")] = None,
    pair: Annotated[str | None, typer.Option(help="BASE/QUOTE; else as the candle file's name says.")] = None,
) -> None:
    """Run the macro engine's rules over history: biases for `cst replay --bias`, regimes by day, a picture."""
    from cli.macro.command import MacroFiles, run_macro

    run_macro(MacroFiles(candles=candles, dxy=dxy, dominance=dominance, fomc=fomc), out, pair_name=pair)


@app.command("why")
def why(
    symbol: Annotated[str, typer.Argument(help="BTCUSDT, or bybit-linear/BTCUSDT.")],
    timeframe: Annotated[str, typer.Argument(help="The first strategy's by default.")] = "",
    at: Annotated[str, typer.Argument(help="13:05 or 2026-11-20T13:05; the newest decided candle by default.")] = "",
    language: Annotated[str, typer.Option(help="en, vi, ...")] = "en",
    zone: Annotated[str, typer.Option(help="Time zone of times read and written.")] = "UTC",
) -> None:
    """Why there was, or was not, a signal on a candle: every condition, the first that failed, gates, bias."""
    from cli.why import WhyRequest, run_why

    print(run_why(WhyRequest(symbol=symbol, timeframe=timeframe, at=at, language=language, zone=zone)))


@app.command("backup")
def backup(
    out: Annotated[
        Path | None, typer.Argument(help="File to write, or folder for one named by the time; <DATA_DIR>/backups.")
    ] = None,
    keep: Annotated[int | None, typer.Option(help="Of the folder's copies only so many stay.", min=1)] = None,
) -> None:
    """Copy the embedded file while services write it: one moment, every page checked, whole or not there."""
    from cli.backup.command import run_backup

    print(run_backup(out, keep))


@app.command("restore")
def restore(file: Annotated[Path, typer.Argument(help="What `cst backup` wrote.")]) -> None:
    """Put a copy in the embedded file's place; the former file is kept beside it. Not while services run."""
    from cli.backup.command import run_restore

    print(run_restore(file))


@app.command("migrate-store")
def migrate_store(
    source: Annotated[str, typer.Option("--from", help="sqlite or bigtable.")],
    target: Annotated[str, typer.Option("--to", help="The other one; its tables exist and are empty.")],
    step_rows: Annotated[int, typer.Option(help="Rows per step.", min=1)] = 1_000,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Copy nothing, compare everything.")] = False,
    leave_messages: Annotated[
        bool, typer.Option("--leave-messages", help="Also while messages wait on the embedded bus.")
    ] = False,
) -> None:
    """Move all that is stored between the embedded file and Bigtable; resumes where it was cut, compares row by row."""
    from cli.migrate.command import Request, run_migration

    request = Request(
        source=source,
        target=target,
        step_rows=step_rows,
        verify_only=verify_only,
        leave_messages=leave_messages,
    )
    print(run_migration(request))


register_research(app)


def main(arguments: list[str] | None = None) -> Any:
    """Run the command; every expected failure is one line on standard error and exit status 2."""
    read_env_file(Path(".env"))
    try:
        return app(arguments)
    except (PermanentError, TransientError, OSError) as error:
        print(f"cst: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
