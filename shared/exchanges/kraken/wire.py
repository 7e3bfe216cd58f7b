"""Kraken's public REST answers. Every answer is 200 with an envelope; what failed stands in `error`.

    {"error":[],"result":{...}}                     fine
    {"error":["EAPI:Rate limit exceeded"]}          E = error, W = warning, then category and text

GET /0/public/OHLC?pair=XBTUSDT&interval=15[&since=<seconds>]: at most the newest 720 rows, the forming one last; `last` is
the open time of the newest committed row. The result's key is Kraken's own name of the pair, which may differ from the asked.

    {"error":[],"result":{"XBTUSDT":[[1762777020,"106038.2","106038.2","106038.2","106038.2","0.0","0.00000000",0],...],
     "last":1762820160}}        time s, open, high, low, close, vwap, volume (base), trades

GET /0/public/Time: {"error":[],"result":{"unixtime":1762820170,"rfc1123":"..."}}
"""

from typing import Any, Final, TypeVar

import msgspec

from shared.domain.decimals import EXACT
from shared.domain.errors import InvalidValueError, PermanentError, TransientError
from shared.domain.klines import Kline
from shared.exchanges.http import kline_of_texts
from shared.exchanges.kraken.instruments import PairInfo

# What passes by itself: too many calls, maintenance, overload. Everything else will not get better by asking again.
_TRANSIENT: Final = (
    "EAPI:Rate limit exceeded",
    "EGeneral:Too many requests",
    "EGeneral:Temporary lockout",
    "EGeneral:Internal error",
    "EService:",
)
_Row = tuple[int, str, str, str, str, str, str, int]
_SHOWN_MAX: Final = 80
_Type = TypeVar("_Type")


class _Envelope(msgspec.Struct, frozen=True):
    error: list[str]
    result: msgspec.Raw = msgspec.Raw(b"null")


class _Time(msgspec.Struct, frozen=True):
    unixtime: int


_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)


def parse_ohlc(body: bytes, symbol: str) -> list[Kline]:
    """The committed rows, oldest first; the forming one is dropped. Raises TransientError or PermanentError by the error."""
    place = f"OHLC {symbol}"
    result = _result(body, place, dict[str, msgspec.Raw])
    last = result.pop("last", None)
    if last is None or len(result) != 1:
        raise InvalidValueError(f"one pair and `last` are required, was {sorted(result)} ({place})")
    [rows] = result.values()
    last_s = _decoded(last, int, place)
    # The newest row is always open, whatever `last` says: nothing of it may be read.
    committed = [row for row in _decoded(rows, list[_Row], place)[:-1] if row[0] <= last_s]
    return [_kline(row, place) for row in committed]


def parse_pairs(body: bytes) -> list[PairInfo]:
    """Every pair of the venue."""
    return list(_result(body, "AssetPairs", dict[str, PairInfo]).values())


def parse_server_time_ms(body: bytes) -> int:
    """The venue's clock, which has whole seconds."""
    return _result(body, "Time", _Time).unixtime * 1000


def _result(body: bytes, place: str, kind: type[_Type]) -> _Type:
    try:
        envelope = _ENVELOPE.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidValueError(f"not an answer of Kraken: {error}, was {_shown(body)} ({place})") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # A proxy's page (maintenance, overload) in place of an answer: it passes.
        raise TransientError(f"the answer must be JSON, was {_shown(body)} ({place})") from error
    faults = [text for text in envelope.error if not text.startswith("W")]
    if faults:
        kind_of_error = TransientError if faults[0].startswith(_TRANSIENT) else PermanentError
        raise kind_of_error(f"Kraken answered {', '.join(faults)} ({place})")
    result: _Type = _decoded(envelope.result, kind, place)
    return result


def _decoded(raw: msgspec.Raw, kind: Any, place: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidValueError(f"not an answer of Kraken: {error} ({place})") from error


def _kline(row: _Row, place: str) -> Kline:
    time_s, open_, high, low, close, vwap, volume, count = row
    try:
        quote_volume = str(EXACT.multiply(EXACT.create_decimal(vwap), EXACT.create_decimal(volume)))
    except ArithmeticError as error:
        raise InvalidValueError(f"vwap and volume must be decimals, was {vwap}, {volume} ({place} {time_s})") from error
    return kline_of_texts(time_s * 1000, (open_, high, low, close, volume, quote_volume), count, place)


def _shown(body: bytes) -> str:
    text = " ".join(body[:_SHOWN_MAX].decode("utf-8", "replace").split())
    return repr(text)
