"""What is out of order, said once when it begins and once when it is over."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from services.macro_engine.memory import Memory
from shared.domain.events import Severity, SystemEvent

_KEY: Final = "health"
_DECODER: Final = msgspec.json.Decoder(dict[str, str])
_NAMED_MAX: Final = 10
PAIR: Final = "pair "  # prefix of what concerns one pair: those of one run are told together


class Health:
    """Compares the problems of this run with those of the last one."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def changes(self, problems: Mapping[str, str], *, as_of_ms: int, at_ms: int) -> list[SystemEvent]:
        """Events for what has changed; publish them, then `remember`."""
        before = await self._memory.get(_KEY, _DECODER) or {}
        begun = {name: problems[name] for name in sorted(problems) if name not in before}
        over = sorted(name for name in before if name not in problems)
        events = []
        for name, reason in begun.items():
            if not name.startswith(PAIR):
                events.append(_event("macro_input_missing", name, Severity.WARNING, reason, as_of_ms, at_ms))
        events += [
            _event("macro_input_back", name, Severity.INFO, f"{name} is there again", as_of_ms, at_ms)
            for name in over
            if not name.startswith(PAIR)
        ]
        lost = [name.removeprefix(PAIR) for name in begun if name.startswith(PAIR)]
        if lost:
            reason = begun[PAIR + lost[0]]
            text = f"no new bias for {_names(lost)}: {reason}; the last one holds until it expires"
            events.append(_event("macro_pairs_missing", "pairs", Severity.WARNING, text, as_of_ms, at_ms))
        found = [name.removeprefix(PAIR) for name in over if name.startswith(PAIR)]
        if found:
            text = f"a bias again for {_names(found)}"
            events.append(_event("macro_pairs_back", "pairs", Severity.INFO, text, as_of_ms, at_ms))
        return events

    async def remember(self, problems: Mapping[str, str]) -> None:
        """What is out of order now."""
        if await self._memory.get(_KEY, _DECODER) != dict(problems):
            await self._memory.put(_KEY, dict(problems))


def _event(kind: str, name: str, severity: Severity, text: str, as_of_ms: int, at_ms: int) -> SystemEvent:
    subject = f"macro_engine#{name}"
    return SystemEvent(kind=kind, subject=subject, version=as_of_ms, severity=severity, text=text, at_ms=at_ms)


def _names(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
