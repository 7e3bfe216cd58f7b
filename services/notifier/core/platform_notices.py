"""When chats are told that the platform is up or was stopped: never left with the wrong word, never flooded. Pure.

Told is a stop, unless a notice was told less than a pause ago; a start after such a pause, and any start that answers a stop
that was told. So a chat gets at most two notices in a pause, however often the platform is rolled out or crashes, and
"stopped" is never the last word about a platform that is up. A kill announces nothing; the start after it says so.
"""

from typing import Final, Literal

import msgspec

UP: Final = "platform_up"
BACK: Final = "platform_back"  # up again, and nobody had stopped it in order
DOWN: Final = "platform_down"
PLATFORM_KINDS: Final = frozenset({UP, BACK, DOWN})


class PlatformState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known from one process to the next.

    number: of the last start or stop, told or not. told: the last notice, empty before the first; told_at_ms: wall clock.
    """

    number: int = 0
    is_up: bool = False
    told: Literal["", "up", "down"] = ""
    told_at_ms: int = 0


def came_up(before: PlatformState, now_ms: int, *, pause_ms: int) -> tuple[PlatformState, str]:
    """The state after a start, and the kind of notice to tell: empty for none."""
    kind = BACK if before.is_up else UP
    worth_telling = before.told == "down" or _is_due(before, now_ms, pause_ms)
    after = msgspec.structs.replace(before, number=before.number + 1, is_up=True)
    if not worth_telling:
        return after, ""
    return msgspec.structs.replace(after, told="up", told_at_ms=now_ms), kind


def going_down(before: PlatformState, now_ms: int, *, pause_ms: int) -> tuple[PlatformState, str]:
    """The state after a stop in order, and the kind of notice to tell: empty for none."""
    after = msgspec.structs.replace(before, number=before.number + 1, is_up=False)
    if not _is_due(before, now_ms, pause_ms):
        return after, ""
    return msgspec.structs.replace(after, told="down", told_at_ms=now_ms), DOWN


def _is_due(before: PlatformState, now_ms: int, pause_ms: int) -> bool:
    """A clock that was set back counts as a pause that is over."""
    return not before.told or not 0 <= now_ms - before.told_at_ms < pause_ms
