"""What each profile costs a month, from stated rates: the table of docs/cost.md.

    python -m benchmarks.monthly_cost

Sizes come from infra/sizing.yaml, which Terraform reads too; messages from the measured run behind `benchmarks.pubsub_cost`. Rates
are list prices in dollars without discounts, for europe-west1; nothing here was compared with an invoice.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from benchmarks.pubsub_cost import monthly_dollars
from shared.runtime.topology import load_topology

ROOT: Final = Path(__file__).resolve().parents[1]
HOURS: Final = 730.0
SECONDS: Final = 30 * 86_400
RUNS_OF_THE_FUNCTION: Final = 4 * 24 * 30
SECONDS_OF_A_RUN: Final = 15.0  # three calls a pair at one a second, nine pairs, most of them every fourth run only
DATA_GIB: Final = 5.0  # what candles, decisions and three days of tape of a person's symbols come to
SECRETS: Final = 3


class Rate(NamedTuple):
    """dollars: per unit. source: where it is from; "list" is the published price list, "third party" a write-up of it."""

    dollars: float
    unit: str
    source: str


RATES: Final = {
    "pool cpu": Rate(0.000011244, "vCPU-second", "third party"),
    "pool memory": Rate(0.000001235, "GiB-second", "third party"),
    "service cpu": Rate(0.000018, "vCPU-second, always on", "list"),
    "service memory": Rate(0.000002, "GiB-second, always on", "list"),
    "request cpu": Rate(0.000024, "vCPU-second while a request runs, 180,000 free", "list"),
    "bigtable node": Rate(0.65, "node-hour", "list"),
    "bigtable storage": Rate(0.17, "GiB-month, SSD", "list"),
    "redis": Rate(0.049, "GiB-hour, Basic, 1-4 GiB", "list"),
    "secret": Rate(0.06, "active version", "list"),
    "scan": Rate(0.26, "scanned image", "list"),
    "registry": Rate(0.10, "GiB-month behind 0.5 free", "list"),
    "e2-small": Rate(0.018427, "hour, 0.5 vCPU and 2 GiB", "list"),
    "pd-standard": Rate(0.044, "GiB-month", "list"),
    "pd-balanced": Rate(0.11, "GiB-month", "list"),
    "address": Rate(0.005, "hour of an external address in use", "list"),
    "snapshot": Rate(0.05, "GiB-month", "list"),
    "bucket": Rate(0.026, "GiB-month, two or more regions", "list"),
}


class Item(NamedTuple):
    """A line of the bill. apart: Bigtable, which is stated beside the sum."""

    name: str
    dollars: float
    apart: bool = False


def sizing() -> dict[str, Any]:
    """infra/sizing.yaml."""
    sizes: dict[str, Any] = yaml.safe_load((ROOT / "infra" / "sizing.yaml").read_text(encoding="utf-8"))
    return sizes


def full(sizes: dict[str, Any], *, kind: str = "pool") -> list[Item]:
    """The profile `full`. kind: what its units are, "pool" or "service"."""
    items = [Item(f"{kind} {name}", _unit(size, kind)) for name, size in sizes["units"].items()]
    run = RATES["request cpu"].dollars * max(0.0, RUNS_OF_THE_FUNCTION * SECONDS_OF_A_RUN - 180_000)
    nodes, gib = sizes["bigtable"]["nodes"], sizes["redis"]["memory_gib"]
    return [
        *items,
        Item("webhook and function, while requests run", run),
        Item("Pub/Sub, 40 symbols at 500 trades/s", _messages()),
        Item(f"Memorystore, {gib} GiB Basic", gib * RATES["redis"].dollars * HOURS),
        Item(f"{SECRETS} secrets, scheduler, alerts", SECRETS * RATES["secret"].dollars),
        Item("registry, 3 GiB", 2.5 * RATES["registry"].dollars),
        Item(
            f"Bigtable, {nodes} node (the least there is, billed while idle)",
            nodes * RATES["bigtable node"].dollars * HOURS,
            apart=True,
        ),
        Item(f"Bigtable, {DATA_GIB:g} GiB", DATA_GIB * RATES["bigtable storage"].dollars, apart=True),
    ]


def lite(sizes: dict[str, Any]) -> list[Item]:
    """The profile `lite`."""
    data, boot = sizes["data_disk_gib"], sizes["boot_disk_gib"]
    backups = min(sizes["backups_kept_days"], 30) * 1.0  # a backup of a gibibyte a day
    return [
        Item(f"{sizes['machine_type']} (2 GiB)", RATES[sizes["machine_type"]].dollars * HOURS),
        Item("external address, the way out", RATES["address"].dollars * HOURS),
        Item(f"boot disk, {boot} GiB", boot * RATES["pd-standard"].dollars),
        Item(f"data disk, {data} GiB", data * RATES[sizes["data_disk_type"]].dollars),
        Item("snapshots, 4 GiB of changes", 4 * RATES["snapshot"].dollars),
        Item(f"backups elsewhere, {backups:g} GiB", backups * RATES["bucket"].dollars),
        Item("a secret", RATES["secret"].dollars),
    ]


def _unit(size: dict[str, Any], kind: str) -> float:
    cpu, memory = RATES[f"{kind} cpu"].dollars, RATES[f"{kind} memory"].dollars
    return float(size["instances"] * (size["cpu"] * cpu + size["memory_mib"] / 1024 * memory) * SECONDS)


def _messages() -> float:
    report = json.loads((ROOT / "benchmarks" / "results" / "emulators_load_40.json").read_text(encoding="utf-8"))
    rates = {name: (rate, report["bytes_per_message"][name]) for name, rate in report["messages_per_second"].items()}
    return monthly_dollars(rates, load_topology())["in all"]


def total(items: list[Item], *, apart: bool = False) -> float:
    """Dollars a month of what is stated apart, or of all the rest."""
    return sum(item.dollars for item in items if item.apart is apart)


def table() -> Iterator[str]:
    """The lines of docs/cost.md between its two marks."""
    sizes = sizing()
    for name, items in (("full", full(sizes["full"])), ("lite", lite(sizes["lite"]))):
        yield from (f"| profile `{name}` | $/month |", "|---|---|")
        yield from (f"| {item.name} | {item.dollars:.2f} |" for item in items if not item.apart)
        yield f"| **all{' but Bigtable' if name == 'full' else ''}** | **{total(items):.2f}** |"
        yield from (f"| {item.name} | {item.dollars:.2f} |" for item in items if item.apart)
        yield ""
    services = full(sizes["full"], kind="service")
    yield f"With every unit a Cloud Run service instead of a worker pool: {total(services):.2f} but Bigtable."
    yield f"A second venue is one more pool: {_unit(sizes['full']['units']['ingestion'], 'pool'):.2f}."
    yield ""
    yield from ("| rate | $ | per | from |", "|---|---|---|---|")
    yield from (f"| {name} | {_plain(rate.dollars)} | {rate.unit} | {rate.source} |" for name, rate in RATES.items())


def _plain(dollars: float) -> str:
    return f"{dollars:.9f}".rstrip("0")


if __name__ == "__main__":
    print("\n".join(table()))
