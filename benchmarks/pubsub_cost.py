"""What a rate of messages costs on Pub/Sub in a month: the formula behind docs/cost.md.

    python -m benchmarks.pubsub_cost [benchmarks/results/emulators_load_40.json]

Price and rules as published (us-central1, 2026): $40 per TiB of what is published plus what is delivered, the first 10 GiB of a
month free; every request counts at least 1,000 bytes; each message carries 20 bytes and its id beside its data and attributes.
"""

import json
import sys
from pathlib import Path
from typing import Final

from shared.domain.topology import Topology
from shared.runtime.topology import load_topology

DOLLARS_PER_TIB: Final = 40.0
FREE_GIB: Final = 10.0
REQUEST_BYTES_MIN: Final = 1_000
MESSAGE_BYTES_AROUND: Final = 37  # 20 and an id of about 17
SECONDS_PER_MONTH: Final = 30 * 86_400
IDLE_PULL_SECONDS: Final = 30.0  # an open pull that brings nothing is asked again after so long
_GIB: Final = 2**30
_GIB_PER_TIB: Final = 1024


def billed_gib(messages_per_second: float, bytes_per_message: float, readers: int) -> float:
    """GiB a month: one publish request per message at worst, and per reader one pull request per message at worst."""
    size = max(REQUEST_BYTES_MIN, bytes_per_message + MESSAGE_BYTES_AROUND)
    idle = REQUEST_BYTES_MIN / IDLE_PULL_SECONDS * readers
    return (messages_per_second * size * (1 + readers) + idle) * SECONDS_PER_MONTH / _GIB


def monthly_dollars(rates: dict[str, tuple[float, float]], topology: Topology) -> dict[str, float]:
    """Dollars a month by topic, and in all behind the free 10 GiB. rates: topic -> (messages per second, bytes of one)."""
    gib = {
        topic: billed_gib(rate, size, len(topology.subscriptions_of(topic))) for topic, (rate, size) in rates.items()
    }
    dollars = {topic: round(amount / _GIB_PER_TIB * DOLLARS_PER_TIB, 2) for topic, amount in gib.items()}
    behind_free = max(0.0, sum(gib.values()) - FREE_GIB) / _GIB_PER_TIB * DOLLARS_PER_TIB
    return {**dollars, "in all": round(behind_free, 2)}


def main() -> None:
    """Print the table of docs/cost.md from a measured run."""
    default = Path(__file__).parent / "results" / "emulators_load_40.json"
    report = json.loads(Path(sys.argv[1] if len(sys.argv) > 1 else default).read_text(encoding="utf-8"))
    rates = {name: (rate, report["bytes_per_message"][name]) for name, rate in report["messages_per_second"].items()}
    dollars = monthly_dollars(rates, load_topology())
    print("| topic | messages/s | bytes of one | readers | $/month |\n|---|---|---|---|---|")
    for topic, (rate, size) in rates.items():
        readers = len(load_topology().subscriptions_of(topic))
        print(f"| `{topic}` | {rate:.2f} | {size:,.0f} | {readers} | {dollars[topic]:.2f} |")
    print(
        f"| all, behind the free 10 GiB | {sum(rate for rate, _ in rates.values()):.2f} | | | **{dollars['in all']:.2f}** |"
    )


if __name__ == "__main__":
    main()
