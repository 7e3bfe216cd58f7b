"""Binance spot on the wire: each payload documented above its parser. Pure; a frame costs a few microseconds."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.errors import InvalidTradeError, TransientError
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.binance.instruments import SymbolInfo
from shared.exchanges.feed import FeedClock, FeedRefused, FeedTrades, Refusal

TRADE_STREAM: Final = "@trade"
CLOCK_STREAM: Final = "@miniTicker"
_REFUSED_BYTES_MAX: Final = 4096  # of a refused frame that its dead letter keeps
_INFINITY: Final = float("inf")


# --- requests and their answers ---------------------------------------------------------------------------------------
#   -> {"method":"SUBSCRIBE","params":["btcusdt@trade","btcusdt@miniTicker"],"id":1}     at most 5 messages a second
#   <- {"result":null,"id":1}                                    streams of unknown symbols are acknowledged, and stay silent
#   <- {"error":{"code":2,"msg":"Invalid request: ..."},"id":1}
def subscribe_request(request_id: int, streams: Sequence[str]) -> bytes:
    """A request that the venue answers with one acknowledgement."""
    return msgspec.json.encode({"method": "SUBSCRIBE", "params": list(streams), "id": request_id})


class RequestError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request is refused."""

    code: int = 0
    msg: str = ""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's answer to a request; request_id is None where the venue could not read it."""

    error: RequestError | None = None
    request_id: int | None = msgspec.field(default=None, name="id")


# --- the combined stream ----------------------------------------------------------------------------------------------
#   <- {"stream":"btcusdt@trade","data":{"e":"trade","E":1680652800000,"s":"BTCUSDT","t":3071245454,"p":"28165.47000000",
#     "q":"0.00056000","b":20720542158,"a":20720542592,"T":1680652799999,"m":true,"M":true}}
#   E: when the event was sent; T: when the trade was matched; t: the trade's id, consecutive per symbol; p: price;
#   q: base quantity; b, a: order ids (gone since 2024); m: the buyer was the maker, so the taker sold. One trade a frame.
#   <- {"stream":"btcusdt@miniTicker","data":{"e":"24hrMiniTicker","E":1680652800084,"s":"BTCUSDT","c":...}}
#   once a second while the market trades: the clock.
class _Trade(msgspec.Struct, frozen=True, gc=False):
    event_time_ms: int = msgspec.field(name="E")
    symbol: str = msgspec.field(name="s")
    trade_id: int = msgspec.field(name="t")
    price: str = msgspec.field(name="p")
    quantity: str = msgspec.field(name="q")
    traded_at_ms: int = msgspec.field(name="T")
    buyer_is_maker: bool = msgspec.field(name="m")


class _TradeFrame(msgspec.Struct, frozen=True, gc=False):
    stream: str
    data: _Trade


class _HeadData(msgspec.Struct, frozen=True, gc=False):
    event: str = msgspec.field(default="", name="e")
    event_time_ms: int = msgspec.field(default=0, name="E")


class _Head(msgspec.Struct, frozen=True, gc=False):
    stream: str = ""
    data: _HeadData | None = None
    error: RequestError | None = None
    request_id: int | None = msgspec.field(default=None, name="id")


_TRADE: Final = msgspec.json.Decoder(_TradeFrame)
_HEAD: Final = msgspec.json.Decoder(_Head)

Parsed = FeedTrades | FeedClock | FeedRefused | Answer


def parse_frame(data: bytes) -> Parsed | None:
    """One frame of the combined stream; None for one of another stream that says no time.

    Never raises: what breaks a rule comes back as a refusal with its reason.
    """
    try:
        frame = _TRADE.decode(data)
        if frame.stream.endswith(TRADE_STREAM):
            return _traded(frame)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # no trade, or a bad one: the head says which
    try:
        head = _HEAD.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return _unreadable(data, f"not a frame of this venue: {error}")
    if head.stream.endswith(TRADE_STREAM):
        return _bad_trade(data, head)
    if head.data is not None:
        in_range = 0 < head.data.event_time_ms < EPOCH_MS_MAX
        return FeedClock(venue_time_ms=head.data.event_time_ms) if in_range else None
    if head.request_id is not None or head.error is not None:
        return Answer(error=head.error, request_id=head.request_id)
    return _unreadable(data, "a frame has a stream with data, or the id of a request")


def _traded(frame: _TradeFrame) -> FeedTrades | FeedRefused:
    trade = frame.data
    if not 0 < trade.event_time_ms < EPOCH_MS_MAX:
        reason = f"E must be UTC epoch milliseconds, was {trade.event_time_ms} (stream {frame.stream})"
        return _unreadable(msgspec.json.encode(frame), reason)
    trades: list[VenueTrade] = []
    refused: list[Refusal] = []
    try:
        trades.append(_checked(trade, frame.stream.removesuffix(TRADE_STREAM).upper()))
    except InvalidTradeError as error:
        refused.append(Refusal(topic=frame.stream, data=msgspec.json.encode(trade), reason=str(error)))
    return FeedTrades(topic=frame.stream, venue_time_ms=trade.event_time_ms, trades=trades, refused=refused)


def _bad_trade(data: bytes, head: _Head) -> FeedTrades | FeedRefused:
    """A trade frame whose fields have a wrong type or are missing."""
    try:
        _TRADE.decode(data)
        reason = "the frame is in order"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        reason = f"{error} (stream {head.stream})"
    if head.data is None or not 0 < head.data.event_time_ms < EPOCH_MS_MAX:
        return _unreadable(data, reason)
    refusal = Refusal(topic=head.stream, data=data[:_REFUSED_BYTES_MAX], reason=reason)
    return FeedTrades(topic=head.stream, venue_time_ms=head.data.event_time_ms, trades=[], refused=[refusal])


def _checked(trade: _Trade, symbol: str) -> VenueTrade:
    """The trade in our terms; raises InvalidTradeError naming the rule, the value, symbol and id."""
    try:
        numbers_ok = 0.0 < float(trade.price) < _INFINITY and 0.0 < float(trade.quantity) < _INFINITY
    except ValueError:
        numbers_ok = False
    in_time = 0 < trade.traded_at_ms < EPOCH_MS_MAX
    if not numbers_ok or not in_time or trade.symbol != symbol or not 0 <= trade.trade_id < 1 << 63:
        raise InvalidTradeError(_broken_rule(trade, symbol))
    return VenueTrade(
        symbol=symbol,
        trade_id=trade.trade_id,
        price_text=trade.price,
        quantity_text=trade.quantity,
        traded_at_ms=trade.traded_at_ms,
        taker_is_buyer=not trade.buyer_is_maker,
        venue_sequence=trade.trade_id,
    )


def _broken_rule(trade: _Trade, symbol: str) -> str:
    place = f"symbol {symbol} trade_id={trade.trade_id}"
    if trade.symbol != symbol:
        return f"symbol must be the stream's {symbol}, was {trade.symbol!r} ({place})"
    if not 0 < trade.traded_at_ms < EPOCH_MS_MAX:
        return f"T must be UTC epoch milliseconds, was {trade.traded_at_ms} ({place})"
    if not 0 <= trade.trade_id < 1 << 63:
        return f"t must be a whole number of at most 63 bits, was {trade.trade_id} ({place})"
    return f"price and quantity must be finite and > 0, was {trade.price!r} and {trade.quantity!r} ({place})"


def _unreadable(data: bytes, reason: str) -> FeedRefused:
    refusal = Refusal(topic="unreadable frame", data=data[:_REFUSED_BYTES_MAX], reason=reason)
    # A frame that names another stream carries no trade; anything else might have.
    other = b'"stream":"' in data and b"@trade" not in data
    return FeedRefused(refusal=refusal, trades_possible=not other)


# --- REST -------------------------------------------------------------------------------------------------------------
#   /api/v3/trades, /api/v3/historicalTrades     oldest first:
#   <- [{"id":409018748,"price":"0.06436200","qty":"0.01580000","quoteQty":"0.00101691","time":1679280337591,
#     "isBuyerMaker":false,"isBestMatch":true}]
class _RestTrade(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    id: int
    price: str
    qty: str
    time: int
    is_buyer_maker: bool


#   /api/v3/klines    oldest first, the forming one last: open time, open, high, low, close, volume, close time, quote
#   volume, trade count, taker's base and quote volume, and a field without use
#   <- [[1588740120000,"9033.34","9039.99","9032.75","9033.15","31.19",1588740179999,"281893.08",282,"6.35","57447.26","0"]]
_Kline = tuple[int, str, str, str, str, str, int, str, int, str, str, Any]


class _ExchangeInfo(msgspec.Struct, frozen=True, kw_only=True):
    symbols: list[SymbolInfo]


#   /api/v3/time      {"serverTime":1754603741167}
class _Time(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    server_time: int


_Result = TypeVar("_Result")


def _decoded(body: bytes, kind: type[_Result], place: str) -> _Result:
    """A body of another shape is transient: a gateway answered in the venue's place."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"not an answer of this venue: {error} ({place})") from error


def parse_trades(body: bytes, symbol: str) -> list[VenueTrade]:
    """The answer's trades, oldest first. Raises InvalidTradeError for a bad one."""
    rows = _decoded(body, list[_RestTrade], f"trades {symbol}")
    return [
        _checked(
            _Trade(
                event_time_ms=row.time,
                symbol=symbol,
                trade_id=row.id,
                price=row.price,
                quantity=row.qty,
                traded_at_ms=row.time,
                buyer_is_maker=row.is_buyer_maker,
            ),
            symbol,
        )
        for row in rows
    ]


def parse_klines(body: bytes, symbol: str) -> list[tuple[int, int, tuple[str, ...], int]]:
    """(open time, close time, the six decimal texts open..quote volume, trade count), oldest first."""
    rows: list[Any] = _decoded(body, list[_Kline], f"klines {symbol}")
    return [(row[0], row[6], (*row[1:6], row[7]), row[8]) for row in rows]


def parse_symbols(body: bytes) -> list[SymbolInfo]:
    """The markets of an exchangeInfo answer."""
    return _decoded(body, _ExchangeInfo, "exchangeInfo").symbols


def parse_server_time_ms(body: bytes) -> int:
    """The venue's clock."""
    return _decoded(body, _Time, "time").server_time
