"""The command behind `cst parity`."""

import asyncio
import sys
from pathlib import Path
from typing import Final

from cli.research.sources import time_ms, utc_text
from research.parity.check import Parity, check
from services.logic_engine.configured import active_strategies, markets
from shared.domain.errors import PermanentError
from shared.domain.events import Severity, SystemEvent
from shared.domain.timeframe import DAY_MS
from shared.runtime.adapters import open_adapters
from shared.runtime.config import load_config
from shared.runtime.settings import ServiceSettings
from shared.runtime.topology import load_topology

TOPIC: Final = "system-events"


def run(*, from_text: str, to_text: str, config_file: Path, publish: bool) -> int:
    """Check, say it, publish it where asked; returns 1 for a difference, else 0. The day before today without times."""
    return asyncio.run(_run(from_text, to_text, config_file, publish=publish))


async def _run(from_text: str, to_text: str, config_file: Path, *, publish: bool) -> int:
    settings, config = ServiceSettings.load(), load_config(config_file)
    clock, topology = settings.clock(), load_topology()
    today_ms = clock.market_ms() // DAY_MS * DAY_MS
    to_ms = time_ms(to_text, "--to") if to_text else today_ms
    from_ms = time_ms(from_text, "--from") if from_text else to_ms - DAY_MS
    if to_ms <= from_ms:
        raise PermanentError(f"--to must lie after --from, was {to_text or 'today'} ({from_text})")
    async with open_adapters(settings, topology, clock) as adapters:
        found = await check(adapters.store, active_strategies(config), markets(config), from_ms, to_ms)
        event = drift_event(found, from_ms, to_ms, clock.market_ms())
        if publish:
            await adapters.bus.publish(TOPIC, [event])
    print(event.text, file=sys.stderr if found.differences else sys.stdout)
    return 1 if found.differences else 0


def drift_event(found: Parity, from_ms: int, to_ms: int, at_ms: int) -> SystemEvent:
    """What is told on `system-events`: drift 0, or how much, with the first difference."""
    text = (
        f"drift {found.differences}: {found.decisions:,} decisions and {found.signals:,} signals decided again, "
        f"{utc_text(from_ms)} to {utc_text(to_ms)} UTC"
    )
    if found.lost:
        text += f"; {found.lost:,} can no longer be (candles or parameters are not there any more)"
    if found.first is not None:
        text += f"; first difference: {found.first.text}"
    severity = Severity.ERROR if found.differences else Severity.INFO
    kind = "drift" if found.differences else "no_drift"
    subject = f"parity#{from_ms}#{to_ms}"
    # One event per span and verdict: a check that is repeated after a kill tells nobody twice.
    return SystemEvent(kind=kind, subject=subject, version=to_ms, severity=severity, text=text, at_ms=at_ms)
