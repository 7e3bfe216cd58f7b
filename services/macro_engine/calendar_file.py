"""Reads the FOMC calendar: `days:` with ISO dates in YAML (infra/calendars/fomc.yaml), or a CSV with a column of dates."""

import csv
from datetime import date, datetime
from pathlib import Path

import yaml

from services.macro_engine.core.fomc import FomcCalendar
from shared.domain.errors import InvalidValueError, PermanentError


def load_calendar(path: Path) -> FomcCalendar:
    """The calendar; raises PermanentError naming the file and what is wrong with it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"the FOMC calendar cannot be read: {error} ({path})") from error
    days = _csv_days(text, path) if path.suffix == ".csv" else _yaml_days(text, path)
    return FomcCalendar(days, str(path))


def _yaml_days(text: str, path: Path) -> list[date]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InvalidValueError(f"not valid YAML: {' '.join(str(error).split())} ({path})") from error
    days = content.get("days") if isinstance(content, dict) else None
    if not isinstance(days, list):
        raise InvalidValueError(f"a list `days` is required, was {type(content).__name__} ({path})")
    return [_day(value, path) for value in days]


def _csv_days(text: str, path: Path) -> list[date]:
    """The column `date` or `Date`: 2026-12-09 or 12/9/2026."""
    rows = list(csv.DictReader(text.splitlines()))
    column = next((name for name in (rows[0] if rows else {}) if name.lower() == "date"), None)
    if column is None:
        raise InvalidValueError(f"a column `date` is required ({path})")
    return [_day(row[column], path) for row in rows]


def _day(value: object, path: Path) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    for form in ("%Y-%m-%d", "%m/%d/%Y"):
        try:
            return datetime.strptime(str(value), form).date()  # noqa: DTZ007 - a day, no instant
        except ValueError:
            continue
    raise InvalidValueError(f"a day must be a date like 2026-12-09, was {value!r} ({path})")
