"""What goes wrong in one history, from its seed: moments, lengths, kills."""

import random
from typing import NamedTuple

from shared.exchanges.venue import BINANCE_SPOT, BYBIT_LINEAR

NAMES = ("ingestion-a", "ingestion-b", "aggregator-a", "aggregator-b", "engine", "notifier")
MOMENTARY = ("cut", "lose", "duplicate", "reorder", "delay", "bus_loses")
LASTING = (
    "refuse",
    "blackout",
    "half_open",
    "rest_down",
    "clock_skew",
    "bus_down",
    "bus_errors",
    "bus_repeats",
    "bus_delays",
    "store_down",
    "store_errors",
    "disk_full",
)


class Fault(NamedTuple):
    """One thing that goes wrong. at, seconds: after the start, and how long."""

    at: float
    kind: str
    seconds: float
    amount: int


class Plan(NamedTuple):
    """A whole history. kills: awaits after which each life of a process ends, one entry per life that is killed.

    exchange: whose feed; the market is the same.
    """

    seed: int
    market_seed: int
    minutes: int
    processes: tuple[str, ...]
    faults: tuple[Fault, ...]
    kills: dict[str, list[int]]
    exchange: str = BINANCE_SPOT


MARKETS = 8
MINUTES = 6
QUIET_FROM_MINUTE = 4.5
# Awaits of a life of about five minutes: where a kill may fall. Measured; a life that ends earlier is simply not killed.
_AWAITS = {"ingestion": 600, "aggregator": 1_300, "engine": 450, "notifier": 420}


# Where trades are not numbered, nobody can notice a frame that is lost, or held back until the end, inside one connection.
_NOTICED_BY_NUMBER = {"lose": "cut", "delay": "reorder"}
_BYBIT_EVERY = 5


def fault_free(market_seed: int, exchange: str = BINANCE_SPOT) -> Plan:
    """The same market without any fault, and every process once."""
    processes = ("ingestion-a", "aggregator-a", "engine", "notifier")
    return Plan(-1, market_seed, MINUTES, processes, (), {}, exchange)


def plan_of(seed: int) -> Plan:
    """Everything that the seed decides."""
    chance = random.Random(seed)
    last = (QUIET_FROM_MINUTE - 0.25) * 60
    faults = [
        Fault(chance.uniform(1, last), chance.choice(MOMENTARY), 0.0, chance.randint(1, 6))
        for _ in range(chance.randint(0, 5))
    ]
    for _ in range(chance.randint(0, 3)):
        at = chance.uniform(1, last)
        faults.append(Fault(at, chance.choice(LASTING), min(chance.uniform(1, 45), last + 10 - at), 0))
    processes = ["ingestion-a", "aggregator-a", "engine", "notifier"]
    processes += [name for name in ("ingestion-b", "aggregator-b") if chance.random() < 0.3]
    kills = {}
    for name in processes:
        awaits = _AWAITS[name.partition("-")[0]]
        kills[name] = [chance.randint(1, awaits) for _ in range(chance.choice([0, 0, 1, 1, 2]))]
    exchange = BYBIT_LINEAR if seed % _BYBIT_EVERY == _BYBIT_EVERY - 1 else BINANCE_SPOT
    if exchange == BYBIT_LINEAR:
        faults = [fault._replace(kind=_NOTICED_BY_NUMBER.get(fault.kind, fault.kind)) for fault in faults]
    return Plan(seed, seed % MARKETS, MINUTES, tuple(processes), tuple(sorted(faults)), kills, exchange)
