"""Two records of the same thing, field by field."""

from typing import Any

import msgspec


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The first field in which what was recorded and what is found again differ. place: which Decision or signal."""

    place: str
    field: str
    recorded: str
    again: str

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.place}: {self.field} was {self.recorded}, is {self.again}"


_LENGTH_MAX = 120


def first_difference(recorded: msgspec.Struct, again: msgspec.Struct, place: str) -> Difference | None:
    """None where every field is equal, to the last bit."""
    if recorded == again:
        return None
    for name in recorded.__struct_fields__:
        found = _differing(name, getattr(recorded, name), getattr(again, name))
        if found is not None:
            field, left, right = found
            return Difference(place=place, field=field, recorded=_short(left), again=_short(right))
    return Difference(place=place, field="kind", recorded=type(recorded).__name__, again=type(again).__name__)


def _differing(name: str, left: Any, right: Any) -> tuple[str, Any, Any] | None:
    """The innermost differing part: a condition's margin rather than all conditions."""
    if left == right:
        return None
    if isinstance(left, tuple) and isinstance(right, tuple) and len(left) == len(right):
        parts = ((f"{name}[{place}]", *pair) for place, pair in enumerate(zip(left, right, strict=True)))
        return next((found for part in parts if (found := _differing(*part)) is not None), (name, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        keys = dict.fromkeys([*left, *right])
        parts = ((f"{name}.{key}", left.get(key), right.get(key)) for key in keys)
        return next((found for part in parts if (found := _differing(*part)) is not None), (name, left, right))
    if isinstance(left, msgspec.Struct) and type(left) is type(right):
        label = getattr(left, "name", "")
        inner = (
            (f"{name}{f'({label})' if label else ''}.{own}", getattr(left, own), getattr(right, own))
            for own in left.__struct_fields__
        )
        return next((found for part in inner if (found := _differing(*part)) is not None), (name, left, right))
    return name, left, right


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LENGTH_MAX else text[:_LENGTH_MAX] + "…"
