"""How dead letters look: tables for people, JSON for tools."""

import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from cli.dead_letters.work import Letter, Requeued

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_DATA_SHOWN_MAX: Final = 4_000
_PLAIN_WIDTH: Final = 2_000  # of a line where the output is no terminal: nothing is folded


def print_list(letters: Sequence[Letter], *, as_json: bool) -> None:
    """A table, or a JSON line each."""
    if as_json:
        for letter in letters:
            print(msgspec.json.encode(_told(letter)).decode())
        return
    if not letters:
        print("no dead letters")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("subscription", "topic", "id", "type", "attempts", "age", "reason"):
        table.add_column(name, justify="right" if name == "attempts" else "left", overflow="fold")
    for letter in letters:
        dead = letter.dead
        kind, attempts = dead.attributes.get("type", "no event"), str(dead.attempts)
        age = shown_age(letter.age_seconds)
        table.add_row(dead.subscription, letter.topic, dead.message_id, kind, attempts, age, dead.reason)
    _console().print(table)
    print(f"{len(letters)} dead letter(s); `cst dead-letters show ID` for one, `requeue` to publish again")


def print_letter(letter: Letter) -> None:
    """Everything about one; data that is no JSON as Python would write its bytes."""
    told = _told(letter)
    told["data"] = _readable(letter.dead.data)
    print(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())


def print_requeued(done: Requeued, *, dry_run: bool) -> None:
    """One line each, then a sum."""
    verb = "would be published again" if dry_run else "published again"
    for letter in done.again:
        print(f"{verb}: {letter.dead.message_id} for {letter.dead.subscription} ({letter.dead.reason})")
    for letter in done.never_events:
        print(
            f"stays: {letter.dead.message_id} of {letter.dead.subscription} never was an event ({letter.dead.reason})"
        )
    for letter in done.gone:
        print(f"gone meanwhile: {letter.dead.message_id} of {letter.dead.subscription}")
    print(f"{len(done.again)} {verb}, {len(done.never_events)} stay")


def shown_age(seconds: float) -> str:
    """The two largest units: 93780 -> `1 d 2 h`."""
    rest, parts = int(seconds), list[str]()
    for size, unit in _UNITS:
        if rest >= size or (size == 1 and not parts):
            parts.append(f"{rest // size} {unit}")
            rest %= size
    return " ".join(parts[:2])


def _told(letter: Letter) -> dict[str, Any]:
    dead = letter.dead
    return {
        "subscription": dead.subscription,
        "topic": letter.topic,
        "message_id": dead.message_id,
        "reason": dead.reason,
        "attempts": dead.attempts,
        "dead_at_ms": dead.dead_at_ms,
        "age_seconds": round(letter.age_seconds, 1),
        "was_event": dead.was_event,
        "attributes": dead.attributes,
    }


def _readable(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return repr(data[:_DATA_SHOWN_MAX])


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH)
