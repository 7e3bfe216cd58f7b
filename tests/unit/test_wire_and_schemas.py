"""JSON on the wire, and the schemas that describe it."""

from pathlib import Path

import msgspec
import pytest

from cli.schemas import schema_texts
from shared.domain.bias import Direction
from shared.domain.decisions import Condition
from shared.domain.errors import InvalidValueError
from shared.domain.events import EVENT_TYPES, AlertRaised, CandlesClosed, Event, Severity, SystemEvent
from shared.domain.timeframe import Timeframe
from shared.domain.wire import decode_event, encode_event, event_attributes
from shared.runtime.topology import load_topology
from tests.unit.test_domain_values import a_batch, a_candle

SCHEMAS = Path(__file__).parents[2] / "infra" / "schemas"


def test_a_batch_survives_the_wire():
    batch = a_batch()

    assert decode_event(encode_event(batch), event_attributes(batch)) == batch


@pytest.mark.parametrize(
    ("data", "attributes", "text"),
    [
        (b"{", {"schema_version": "1"}, "not a valid event"),
        (b'{"type":"Unknown"}', {"schema_version": "1"}, "not a valid event"),
        (b'{"type":"SystemEvent"}', {"schema_version": "1", "type": "SystemEvent"}, "missing required field"),
        (b"{}", {"schema_version": "9", "event_id": "e1"}, r"schema_version must be 1, was '9' .*event_id=e1"),
        (b"\xff\xfe", {"schema_version": "1"}, "not a valid event"),
    ],
)
def test_a_foreign_message_is_a_permanent_error_that_names_it(data, attributes, text):
    with pytest.raises(InvalidValueError, match=text):
        decode_event(data, attributes)


def test_a_negative_price_on_the_wire_is_refused():
    data = encode_event(a_batch()).replace(b"100.5", b"-100.5")

    with pytest.raises(InvalidValueError, match=r"price must be finite and > 0.*trade_id=a"):
        decode_event(data, {"schema_version": "1"})


def test_event_ids_depend_on_type_subject_and_version():
    one = SystemEvent(kind="blind", subject="a", version=1, severity=Severity.WARNING, text="", at_ms=1)

    assert one.event_id == msgspec.structs.replace(one, text="other words").event_id
    assert one.event_id != msgspec.structs.replace(one, version=2).event_id
    assert one.event_id != msgspec.structs.replace(one, kind="seeing").event_id


def test_schema_files_do_not_drift():
    files = {file.name: file.read_text(encoding="utf-8") for file in SCHEMAS.glob("*.json")}

    assert files == schema_texts(), "run `cst schemas write` and commit infra/schemas"


def test_every_event_type_is_declared_on_one_topic_trades_on_one_per_venue():
    topology = load_topology()

    of_venues = [topic.name for topic in topology.topics if topic.events == ("TradeBatch",)]
    assert all(name.startswith("raw-tick-data-") for name in of_venues)
    declared = [event for topic in topology.topics if topic.name not in of_venues[1:] for event in topic.events]
    assert sorted(declared) == sorted(EVENT_TYPES)
    assert len(msgspec.inspect.multi_type_info([Event])) == 1


def test_an_announcement_refuses_candles_of_another_minute_symbol_or_order():
    minute = a_candle(4, 9.0, 1)
    five = a_candle(0, 9.0, 1, timeframe=Timeframe.M5)
    announcement = {"exchange": "e", "symbol": "S", "close_time_ms": 300_000}

    assert CandlesClosed(**announcement, candles=(minute, five)).candles == (minute, five)
    for candles, text in (
        ((), "at least one candle"),
        ((five, minute), "the 1m candle, or the finest there is, comes first"),
        ((minute, a_candle(0, 9.0, 1)), "all candles must close at 300000, was 60000"),
        ((a_candle(4, 9.0, 1, symbol="T"),), "all candles must be of S"),
    ):
        with pytest.raises(InvalidValueError, match=text):
            CandlesClosed(**announcement, candles=candles)


def an_alert(**values):
    given = {"strategy": "scanner", "alert": "ppo_signal_up", "exchange": "bybit-linear", "symbol": "BTCUSDT"}
    given |= {"timeframe": Timeframe.M15, "candle_open_time_ms": 1_786_300_200_000, "price": 60_000.0}
    return AlertRaised(**(given | values))


def test_an_alert_with_side_values_and_conditions_survives_the_wire_and_an_old_one_still_reads():
    passed = Condition(name="ppo", value=0.12, threshold=0.0, margin=0.12, passed=True)
    alert = an_alert(side=Direction.LONG, price_decimals=2, values={"ppo": 0.12}, conditions=(passed,))
    old = b'{"type":"AlertRaised","strategy":"s","alert":"a","exchange":"e","symbol":"X","timeframe":"15m",'
    old += b'"candle_open_time_ms":0,"price":1.0,"text":"t"}'

    assert decode_event(encode_event(alert), event_attributes(alert)) == alert
    assert decode_event(old, {"schema_version": "1"}).side is Direction.NEUTRAL
    assert an_alert(text="other words").event_id == alert.event_id
    assert alert.candle_close_time_ms == 1_786_301_100_000


def test_an_alert_without_a_price_is_refused_by_name():
    with pytest.raises(InvalidValueError, match=r"price must be finite and > 0.*ppo_signal_up bybit-linear BTCUSDT"):
        an_alert(price=float("nan"))
