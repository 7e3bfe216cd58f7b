"""10,000 deliveries into 5 chats of a server that enforces Telegram's limits, with 429s, 5xx and kills: what came of each.

Both the server's and the notifier's rates are multiplied by one factor, which shortens Telegram's second and minute
alike (and every `retry_after` with them), so that hours of traffic end within minutes.

    python -m benchmarks.delivery_torture [--factor 30] [--seconds 90] [--kills 20]
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path

import msgspec

from tests.support.delivery_torture import Plan, Report, Torture

RESULT = Path(__file__).with_name("results") / "delivery_torture.json"


def table(plan: Plan, report: Report) -> str:
    """Everything in one look."""
    ends = ", ".join(f"{count} {state}" for state, count in sorted(report.states.items(), key=lambda item: -item[1]))
    lines = [
        ("deliveries (event x chat)", f"{report.deliveries}"),
        ("rates of server and notifier", f"x {plan.factor:g}"),
        ("took", f"{report.seconds:.0f} s, {report.deliveries / report.seconds:.0f} deliveries/s"),
        ("answers 429 / 5xx (injected)", f"{report.injected_429} / {report.errors_5xx} {report.faults}"),
        ("429 for the notifier's own rate", f"{report.own_429}"),
        ("kills", f"{report.kills}"),
        ("ended as", ends),
        ("lost", f"{len(report.lost)}"),
        ("messages, edits at the server", f"{report.messages}, {report.edits}"),
        ("repeats marked / not marked", f"{report.repeats_seen} / {len(report.repeats_unmarked)}"),
        ("exits told", f"{report.exits}"),
        (
            "entries of others before an exit",
            f"at most {report.overtaken_max}; more than one: {report.overtaken_twice}",
        ),
    ]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--factor", type=float, default=30)
    parser.add_argument("--seconds", type=float, default=90, help="over which events come")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of events")
    options = parser.parse_args()
    plan = Plan(
        signals=round(825 * options.scale),
        alerts=round(150 * options.scale),
        reports=round(150 * options.scale),
        seconds=options.seconds,
        factor=options.factor,
        kills=options.kills,
    )
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(Torture(Path(folder), plan).run())
    print(table(plan, report))
    for line in (*report.lost[:5], *report.repeats_unmarked[:5]):
        print("!", line)
    content = {"plan": msgspec.to_builtins(plan), "report": msgspec.to_builtins(report)}
    RESULT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
