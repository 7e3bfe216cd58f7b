"""Bybit v5 on the wire: each payload documented above its parser. Pure; a frame costs a few microseconds."""

from collections.abc import Sequence
from typing import Any, Final, TypeVar

import msgspec

from shared.domain.checks import EPOCH_MS_MAX
from shared.domain.errors import InvalidTradeError, PermanentError, TransientError
from shared.domain.venue_trade import VenueTrade
from shared.exchanges.bybit.instruments import InstrumentInfo
from shared.exchanges.feed import FeedClock, FeedRefused, FeedTrades, Refusal

TRADE_TOPIC: Final = "publicTrade."
CLOCK_TOPIC: Final = "tickers."
_TRADE_PREFIX: Final = b'{"topic":"publicTrade.'
_REFUSED_BYTES_MAX: Final = 4096  # of a refused frame that its dead letter keeps
_INFINITY: Final = float("inf")


# --- requests ---------------------------------------------------------------------------------------------------------
#   -> {"req_id":"7","op":"subscribe","args":["publicTrade.BTCUSDT","publicTrade.ETHUSDT"]}      args: at most 21,000 characters
#   -> {"req_id":"8","op":"ping"}                                                              every 20 s, or the venue hangs up
def subscribe_request(request_id: str, topics: Sequence[str]) -> bytes:
    """A request that the venue answers with one acknowledgement."""
    return msgspec.json.encode({"req_id": request_id, "op": "subscribe", "args": list(topics)})


def ping_request(request_id: str) -> bytes:
    """A request that the venue answers with a pong."""
    return msgspec.json.encode({"req_id": request_id, "op": "ping"})


# --- answers to requests ----------------------------------------------------------------------------------------------
#   <- {"success":true,"ret_msg":"","conn_id":"d8bu1olkndm7crnfs1e0-j6akw","req_id":"7","op":"subscribe"}
#   <- {"success":false,"ret_msg":"error:handler not found,topic:publicTrade.NOPE","conn_id":"...","req_id":"7","op":"subscribe"}
#   <- {"success":true,"ret_msg":"pong","conn_id":"...","req_id":"8","op":"ping"}
class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The venue's answer to a request; request_id is "" where the venue does not repeat it."""

    op: str
    success: bool = True
    ret_msg: str = ""
    request_id: str = msgspec.field(default="", name="req_id")

    @property
    def is_accepted(self) -> bool:
        """Subscribing twice is refused in words only: the topic flows."""
        return self.success or "already subscribed" in self.ret_msg


class _Head(msgspec.Struct, frozen=True, gc=False):
    """Any frame: its topic or its operation, and the venue's time."""

    topic: str = ""
    op: str = ""
    ts: int = 0


# --- trades -----------------------------------------------------------------------------------------------------------
#   <- {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1786310819681,"data":[
#     {"T":1786310819680,"s":"BTCUSDT","S":"Sell","v":"0.004","p":"65114.20","L":"MinusTick",
#      "i":"a9188a0a-82bc-50de-be60-03eedbe3cdd7","BT":false,"RPI":false,"seq":753843954913}]}
#   ts: when the frame was made; T: when the trade was matched; S: the taker's side; v: base quantity; i: execution id;
#   L: tick direction; BT: block trade; RPI: retail price improvement; seq: cross sequence, equal for all fills of one
#   taker order, so (T, seq) has ties whose order is the frame's. Oldest first.
class _Trade(msgspec.Struct, frozen=True, gc=False):
    traded_at_ms: int = msgspec.field(name="T")
    symbol: str = msgspec.field(name="s")
    side: str = msgspec.field(name="S")
    quantity: str = msgspec.field(name="v")
    price: str = msgspec.field(name="p")
    trade_id: str = msgspec.field(name="i")
    sequence: int = msgspec.field(name="seq", default=0)


class _TradeFrame(msgspec.Struct, frozen=True):
    topic: str
    ts: int
    data: list[_Trade]


class _LooseTradeFrame(msgspec.Struct, frozen=True):
    topic: str
    ts: int
    data: list[msgspec.Raw]


_TRADES: Final = msgspec.json.Decoder(_TradeFrame)
_LOOSE_TRADES: Final = msgspec.json.Decoder(_LooseTradeFrame)
_ONE_TRADE: Final = msgspec.json.Decoder(_Trade)
_HEAD: Final = msgspec.json.Decoder(_Head)
_ANSWER: Final = msgspec.json.Decoder(Answer)

Parsed = FeedTrades | FeedClock | FeedRefused | Answer


def parse_frame(data: bytes) -> Parsed:
    """One frame of the public WebSocket. Never raises: what breaks a rule comes back as a refusal with its reason."""
    if data.startswith(_TRADE_PREFIX):
        return _trades(data)
    try:
        head = _HEAD.decode(data)
        if head.topic.startswith(TRADE_TOPIC):  # other key order than ever seen, still valid
            return _trades(data)
        if head.topic and 0 < head.ts < EPOCH_MS_MAX:
            return FeedClock(venue_time_ms=head.ts)
        if head.op:
            return _ANSWER.decode(data)
        reason = f"a frame has a topic with ts, or an op, topic={head.topic!r} ts={head.ts} op={head.op!r}"
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return _unreadable(data, f"not a frame of this venue: {error}")
    return _unreadable(data, reason)


def _trades(data: bytes) -> FeedTrades | FeedRefused:
    try:
        frame = _TRADES.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _trades_one_by_one(data)
    if not 0 < frame.ts < EPOCH_MS_MAX:
        return _unreadable(data, f"ts must be UTC epoch milliseconds, was {frame.ts} (topic {frame.topic})")
    trades: list[VenueTrade] = []
    refused: list[Refusal] = []
    symbol = frame.topic[len(TRADE_TOPIC) :]
    for trade in frame.data:
        try:
            trades.append(_checked(trade, symbol))
        except InvalidTradeError as error:
            refused.append(Refusal(topic=frame.topic, data=msgspec.json.encode(trade), reason=str(error)))
    return FeedTrades(topic=frame.topic, venue_time_ms=frame.ts, trades=trades, refused=refused)


def _trades_one_by_one(data: bytes) -> FeedTrades | FeedRefused:
    """The slow path: some field has a wrong type or is missing; only the trades it concerns are refused."""
    try:
        frame = _LOOSE_TRADES.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return _unreadable(data, f"not a publicTrade frame: {error}")
    if not 0 < frame.ts < EPOCH_MS_MAX:
        return _unreadable(data, f"ts must be UTC epoch milliseconds, was {frame.ts} (topic {frame.topic})")
    trades: list[VenueTrade] = []
    refused: list[Refusal] = []
    for number, raw in enumerate(frame.data):
        try:
            trades.append(_checked(_ONE_TRADE.decode(raw), frame.topic[len(TRADE_TOPIC) :]))
        except (msgspec.MsgspecError, InvalidTradeError, UnicodeDecodeError) as error:
            reason = f"{error} (topic {frame.topic}, trade {number} of the frame)"
            refused.append(Refusal(topic=frame.topic, data=bytes(raw)[:_REFUSED_BYTES_MAX], reason=reason))
    return FeedTrades(topic=frame.topic, venue_time_ms=frame.ts, trades=trades, refused=refused)


def _checked(trade: _Trade, symbol: str) -> VenueTrade:
    """The trade in our terms; raises InvalidTradeError naming the rule, the value, topic and id."""
    try:
        numbers_ok = 0.0 < float(trade.price) < _INFINITY and 0.0 < float(trade.quantity) < _INFINITY
    except ValueError:
        numbers_ok = False
    buyer = trade.side == "Buy"
    if (
        not numbers_ok
        or not (buyer or trade.side == "Sell")
        or not 0 < trade.traded_at_ms < EPOCH_MS_MAX
        or trade.symbol != symbol
        or trade.sequence < 0
        or not trade.trade_id.isprintable()
        or not trade.trade_id
    ):
        raise InvalidTradeError(_broken_rule(trade, symbol))
    return VenueTrade(
        symbol=symbol,
        trade_id=trade.trade_id,
        price_text=trade.price,
        quantity_text=trade.quantity,
        traded_at_ms=trade.traded_at_ms,
        taker_is_buyer=buyer,
        venue_sequence=trade.sequence,
    )


def _broken_rule(trade: _Trade, symbol: str) -> str:
    place = f"topic {TRADE_TOPIC}{symbol} trade_id={trade.trade_id}"
    if trade.symbol != symbol:
        return f"symbol must be the topic's {symbol}, was {trade.symbol!r} ({place})"
    if trade.side not in {"Buy", "Sell"}:
        return f"side must be Buy or Sell, was {trade.side!r} ({place})"
    if not 0 < trade.traded_at_ms < EPOCH_MS_MAX:
        return f"T must be UTC epoch milliseconds, was {trade.traded_at_ms} ({place})"
    if trade.sequence < 0 or not trade.trade_id or not trade.trade_id.isprintable():
        return f"seq must be >= 0 and the id printable and not empty, was {trade.sequence} ({place})"
    return f"price and quantity must be finite and > 0, was {trade.price!r} and {trade.quantity!r} ({place})"


def _unreadable(data: bytes, reason: str) -> FeedRefused:
    refusal = Refusal(topic="unreadable frame", data=data[:_REFUSED_BYTES_MAX], reason=reason)
    # A frame that names another topic carries no trade; anything else might have.
    other = b'"topic":"' in data and b"publicTrade" not in data
    return FeedRefused(refusal=refusal, trades_possible=not other)


# --- REST -------------------------------------------------------------------------------------------------------------
#   <- {"retCode":0,"retMsg":"OK","result":{...},"retExtInfo":{},"time":1786310817197}
class _Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")
    time: int = 0


#   /v5/market/recent-trade   newest first:
#   <- {"category":"linear","list":[{"execId":"a9188a0a-...","symbol":"BTCUSDT","price":"65114.20","size":"0.004",
#     "side":"Sell","time":"1786310819680","isBlockTrade":false,"isRPITrade":false,"seq":"753843954913"}]}
class _RecentTrade(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    exec_id: str
    symbol: str
    price: str
    size: str
    side: str
    time: str
    seq: str = "0"


class _RecentTrades(msgspec.Struct, frozen=True, kw_only=True):
    list: list[_RecentTrade]


#   /v5/market/kline          newest first: [start, open, high, low, close, volume, turnover], all texts
#   <- {"symbol":"BTCUSDT","category":"linear","list":[["1786310760000","65119.9","65119.9","65114.2","65114.3","1.576","102627.995"]]}
class _Klines(msgspec.Struct, frozen=True, kw_only=True):
    list: list[tuple[str, str, str, str, str, str, str]]


class InstrumentPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of /v5/market/instruments-info; an empty cursor ends the list."""

    list: list[InstrumentInfo]
    cursor: str = msgspec.field(default="", name="nextPageCursor")


#   /v5/market/time           {"timeSecond":"1786310817","timeNano":"1786310817197000000"}
class _Time(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    time_nano: str


# Server timeout, too many visits (user, IP), server error, service restarting: worth another try.
_TRANSIENT_CODES: Final = frozenset({10000, 10006, 10016, 10018, 10429, 429, 500, 502, 503, 504, 131230})
_ENVELOPE: Final = msgspec.json.Decoder(_Envelope)
_Result = TypeVar("_Result")


def _result(body: bytes, kind: type[_Result], place: str) -> tuple[_Result, int]:
    """The envelope's result and the server's time in ms; raises by retCode. A body of another shape is transient."""
    try:
        envelope = _ENVELOPE.decode(body)
        if envelope.ret_code != 0:
            text = f"retCode must be 0, was {envelope.ret_code}: {envelope.ret_msg} ({place})"
            raise TransientError(text) if envelope.ret_code in _TRANSIENT_CODES else PermanentError(text)
        return msgspec.json.decode(envelope.result, type=kind), envelope.time
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"not an answer of this venue: {error} ({place})") from error


def parse_recent_trades(body: bytes, symbol: str) -> list[VenueTrade]:
    """The answer's trades, oldest first (the venue's order reversed). Raises InvalidTradeError for a bad one."""
    result, _ = _result(body, _RecentTrades, f"recent-trade {symbol}")
    return [_checked(_streamed(trade, symbol), symbol) for trade in reversed(result.list)]


def _streamed(trade: _RecentTrade, symbol: str) -> _Trade:
    place = f"recent-trade {symbol} trade_id={trade.exec_id}"
    return _Trade(
        traded_at_ms=_integer(trade.time, "time", place),
        symbol=trade.symbol,
        side=trade.side,
        quantity=trade.size,
        price=trade.price,
        trade_id=trade.exec_id,
        sequence=_integer(trade.seq, "seq", place),
    )


def _integer(text: str, field: str, place: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise InvalidTradeError(f"{field} must be a whole number, was {text!r} ({place})")
    return int(text)


def parse_klines(body: bytes, symbol: str) -> tuple[list[tuple[int, tuple[Any, ...]]], int]:
    """(open time, the six decimal texts open..turnover) oldest first, and the server's time in ms."""
    result, server_time_ms = _result(body, _Klines, f"kline {symbol}")
    rows = [(_integer(row[0], "start", f"kline {symbol}"), row[1:]) for row in reversed(result.list)]
    return rows, server_time_ms


def parse_instruments(body: bytes) -> InstrumentPage:
    """One page of instruments."""
    return _result(body, InstrumentPage, "instruments-info")[0]


def parse_server_time_ms(body: bytes) -> int:
    """The venue's clock."""
    return _integer(_result(body, _Time, "time")[0].time_nano, "timeNano", "time") // 1_000_000
