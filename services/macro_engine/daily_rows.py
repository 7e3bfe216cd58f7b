"""Daily closes as JSON: what the HTTP sources of DXY and BTC dominance answer, and what the recorded files hold.

    {"rows": [{"date": "2026-07-22", "close": 101.14}, {"date": "2026-07-23", "close": 101.49}]}
    {"data": [{"t": 1714435200000, "b": 53.42, ...}]}       t: UTC epoch ms within the day, b: Bitcoin's share in percent

At least two rows, in any order. A row is the close of its UTC day and counts from 00:00 of the next one.
"""

from datetime import UTC, date, datetime

import msgspec

from services.macro_engine.core.daily import DailyRow
from shared.domain.checks import check_time_ms
from shared.domain.errors import InvalidValueError, TransientError

_SHOWN_MAX = 80


class _Share(msgspec.Struct, frozen=True):
    t: int
    b: float


class _Answer(msgspec.Struct, frozen=True):
    rows: list[DailyRow] = []
    data: list[_Share] = []


_DECODER = msgspec.json.Decoder(_Answer)


def parse_daily(body: bytes, name: str) -> list[DailyRow]:
    """The rows. Raises TransientError where it is no JSON (a proxy's page), InvalidValueError where it is no such JSON."""
    try:
        answer = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidValueError(f'{{"rows": [{{"date", "close"}}]}} is required: {error} ({name})') from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = " ".join(body[:_SHOWN_MAX].decode("utf-8", "replace").split())
        raise TransientError(f"the answer must be JSON, was {shown!r} ({name})") from error
    rows = answer.rows or [DailyRow(_day(share.t, name), share.b) for share in answer.data]
    if len(rows) < 2:  # noqa: PLR2004 - a change needs two
        raise InvalidValueError(f"at least two daily closes are required, was {len(rows)} ({name})")
    return rows


def _day(at_ms: int, name: str) -> date:
    check_time_ms(at_ms, "t", name)
    return datetime.fromtimestamp(at_ms / 1000, UTC).date()
