"""The tape reader: exact values, bad rows named and left out, chunk sizes without effect."""

import gzip
import random
import zlib
from pathlib import Path

import pytest

from cli.replay import reader as reader_module
from cli.replay.batches import BatchMaker, Cut
from cli.replay.command import run_replay
from cli.replay.kernel import LONG_NUMBER, NUMBER, TEXT
from cli.replay.reader import OtherIdsFoundError, TapeError, TapeReader

HEADER = "event_time,symbol,trade_id,price,quantity,trade_time,buyer_market_maker"
START_MS = 1_559_260_800_000


def a_tape(folder: Path, *rows: str, header: str = HEADER, name: str = "tape.csv") -> Path:
    file = folder / name
    text = "\n".join([header, *rows]) + "\n"
    file.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return file


def a_row(
    *, trade_id: object = 1, at_ms: int = START_MS, price: str = "0.08403000", quantity: str = "714.00000000"
) -> str:
    return f"{at_ms + 4},ADAUSDT,{trade_id},{price},{quantity},{at_ms},false"


def batches_of(file: Path, *, ids_kind: int = NUMBER) -> tuple[TapeReader, list]:
    reader = TapeReader(file, ids_kind=ids_kind)
    return reader, [cut.batch for cut in BatchMaker(reader, "binance-spot").cuts()]


def cuts_of(file: Path) -> list[Cut]:
    return list(BatchMaker(TapeReader(file), "binance-spot").cuts())


@pytest.mark.parametrize("name", ["tape.csv", "tape.csv.gz"])
def test_prices_and_quantities_are_exact(tmp_path, name):
    _, [batch, end] = batches_of(a_tape(tmp_path, a_row(price="0.08403000", quantity="0.10000001"), name=name))

    trade = batch.row(0)
    assert trade.price == 0.08403
    assert (trade.quantity_units, trade.quantity_scale) == (10_000_001, 8)
    assert trade.taker_is_buyer
    assert len(end) == 0


def test_minutes_close_at_the_row_that_lifts_the_watermark_over_their_end(tmp_path):
    times_ms = [0, 30_000, 62_000, 62_999, 63_000, 64_000]
    rows = [f"{START_MS + t},ADAUSDT,{i},1.0,1.0,{START_MS + t},true" for i, t in enumerate(times_ms)]

    [cut, end] = cuts_of(a_tape(tmp_path, *rows))

    assert (len(cut.batch), len(end.batch)) == (6, 0)
    assert cut.watermarks_ms == [START_MS + 27_000, START_MS + 60_000]
    assert cut.batch.watermark_ms == START_MS + 61_000


@pytest.mark.parametrize(
    "last_row",
    [
        f"{START_MS + 64_000},ADAUSDT,9,1.0,1.0,{START_MS + 59_000},true",  # late: its minute has closed
        f"{START_MS + 64_000},ADAUSDT,9,1.0,1.0,{START_MS + 70_000},true",  # ahead of the tape's clock
        f"{START_MS + 64_000},ADAUSDT,3,1.0,1.0,{START_MS + 64_000},true",  # an id that was there before
    ],
)
def test_what_depends_on_the_cut_is_cut_at_every_step(tmp_path, last_row):
    times_ms = [0, 30_000, 62_000, 62_999, 63_000]
    rows = [f"{START_MS + t},ADAUSDT,{i},1.0,1.0,{START_MS + t},true" for i, t in enumerate(times_ms)]

    cuts = cuts_of(a_tape(tmp_path, *rows, last_row))

    assert [len(cut.batch) for cut in cuts] == [2, 3, 1, 0]
    steps = [[START_MS + 27_000], [START_MS + 60_000], [], [START_MS + 61_000]]
    assert [cut.watermarks_ms for cut in cuts] == steps
    assert cuts[1].batch.watermark_ms == START_MS + 60_000


def test_the_first_minute_is_never_vouched_for_and_the_last_one_neither(tmp_path):
    _, batches = batches_of(a_tape(tmp_path, a_row(at_ms=START_MS), a_row(trade_id=2, at_ms=START_MS + 120_500)))

    assert batches[0].covers_from_ms == START_MS + 60_000
    assert batches[-1].watermark_ms == START_MS + 120_000


def test_chunk_sizes_change_nothing_that_is_written(tmp_path, monkeypatch):
    """Late, repeated and lost trades among regular ones."""
    chance = random.Random(4)
    rows: list[str] = []
    ids: dict[str, int] = {}
    for number in range(1500):
        at_ms = START_MS + 9_000 * number
        late_ms = chance.choice([0] * 97 + [4_000, 70_000, 200_000])
        symbol = chance.choice(["ADAUSDT", "EOSUSDT", "BNBUSDT"])
        ids[symbol] = ids.get(symbol, 0) + chance.choice([1] * 99 + [3])
        price = f"{1 + chance.randrange(50) / 1000:.3f}"
        rows.append(f"{at_ms},{symbol},{ids[symbol]},{price},{chance.randrange(1, 999)}.5,{at_ms - late_ms},true")
        if chance.random() < 0.02:
            rows.append(rows[-chance.randrange(1, min(40, len(rows)) + 1)])
    file = a_tape(tmp_path, *rows)

    def written(chunk_bytes: int) -> dict[str, bytes]:
        monkeypatch.setattr(reader_module, "CHUNK_BYTES", chunk_bytes)
        out = tmp_path / str(chunk_bytes)
        config = Path("config/tracker.yaml")
        run_replay(trades=file, exchange="binance-spot", out=out, strategy_names=(), timeframes="", config_file=config)
        return {item.name: item.read_bytes() for item in out.iterdir() if item.name != "summary.json"}

    whole = written(1 << 20)
    assert written(700) == whole
    assert written(9_000) == whole
    lines = [line.split(b",") for line in whole["candles-1m.csv"].splitlines()[1:]]
    assert max(int(line[11]) for line in lines) > 1, "no minute was corrected"
    assert 6 < sum(line[10] == b"partial" for line in lines) < len(lines) / 2, "lost ids make minutes partial"
    assert whole["decisions.jsonl"]
    assert whole["messages.jsonl"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (a_row(price="-1.0"), "price must be a finite decimal number > 0"),
        (a_row(price="NaN"), "price must be a finite decimal number > 0"),
        (a_row(price="0.0"), "price must be a finite decimal number > 0"),
        (a_row(quantity="1e5"), "quantity must be a finite decimal number > 0"),
        (a_row(price="1234567890123456789.5"), "price and quantity may have at most 18 digits"),
        (a_row(at_ms=5_000_000_000_000), "event_time and trade_time must be UTC epoch milliseconds"),
        ("1,2,3", "a row has as many fields as the header"),
        (f"{START_MS},A#B,1,1.0,1.0,{START_MS},true", "symbol must be printable text without '#' or ':'"),
        (f"{START_MS},A\x01B,1,1.0,1.0,{START_MS},true", "symbol must be printable text without '#' or ':'"),
        (f"{START_MS},A\u200bB,1,1.0,1.0,{START_MS},true", "symbol must be printable text without '#' or ':'"),
        (f"{START_MS},AB,,1.0,1.0,{START_MS},true", "trade_id must not be empty"),
        (f"{START_MS},AB,1,1.0,1.0,{START_MS},maybe", "buyer_market_maker must be true or false"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_and_the_rest_goes_on(tmp_path, row, reason):
    file = a_tape(tmp_path, a_row(trade_id=1), row, a_row(trade_id=3))

    reader, [batch, _] = batches_of(file)

    assert batch.trade_id.tolist() == [1, 3]
    [refused] = reader.refused
    assert (refused.file, refused.line, refused.reason) == ("tape.csv", 3, reason)


def test_a_text_id_anywhere_asks_for_ids_as_text_and_the_line_is_the_order(tmp_path):
    file = a_tape(tmp_path, a_row(trade_id="z"), a_row(trade_id="a#2:1"), a_row(trade_id="007"))

    with pytest.raises(OtherIdsFoundError) as found:
        batches_of(file)
    reader, [batch, _] = batches_of(file, ids_kind=found.value.kind)

    assert found.value.kind == TEXT
    assert batch.trade_id.tolist() == ["z", "a#2:1", "007"]
    assert batch.venue_sequence.tolist() == [2, 3, 4]
    assert reader.refused == []


def test_numbers_of_19_digits_and_leading_zeros_are_integers(tmp_path):
    _, [batch, _] = batches_of(a_tape(tmp_path, a_row(trade_id=2**63 - 1), a_row(trade_id="0042")))

    assert batch.trade_id.tolist() == batch.venue_sequence.tolist() == [2**63 - 1, 42]


def test_numbers_beyond_64_bits_are_ordered_as_numbers(tmp_path):
    ids = [str(10**26 + 5), str(2**63), "99", str(10**26), "0100"]
    file = a_tape(tmp_path, *[a_row(trade_id=trade_id) for trade_id in ids])

    with pytest.raises(OtherIdsFoundError) as found:
        batches_of(file)
    _, [batch, _] = batches_of(file, ids_kind=found.value.kind)

    assert found.value.kind == LONG_NUMBER
    rank = {
        trade_id: (sequence, tie)
        for trade_id, sequence, tie in zip(
            batch.trade_id.tolist(), batch.venue_sequence.tolist(), batch.tie_rank.tolist(), strict=True
        )
    }
    assert sorted(rank, key=rank.__getitem__) == ["99", "100", str(2**63), str(10**26), str(10**26 + 5)]
    assert batch.tie_rank.max() < 2**31  # what the aggregator's tape keeps of it


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    _, [batch, _] = batches_of(a_tape(tmp_path, a_row(), header="\ufeff" + HEADER))

    assert len(batch) == 1


def test_a_missing_column_is_named(tmp_path):
    file = a_tape(tmp_path, header="event_time,symbol,trade_id,quantity,trade_time")

    with pytest.raises(TapeError, match=r"missing: price \(.*tape\.csv line 1\)"):
        batches_of(file)


def test_a_cut_gzip_names_the_last_whole_line(tmp_path):
    rows = [a_row(trade_id=i, price=f"{1 + (i * 7919 % 10007) / 10000:.4f}") for i in range(5000)]
    file = a_tape(tmp_path, *rows, name="tape.csv.gz")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * 3 // 5])
    readable = zlib.decompressobj(wbits=31).decompress(file.read_bytes()).count(b"\n")

    with pytest.raises(TapeError, match=rf"cut or damaged after line {readable} .*tape\.csv\.gz") as error:
        batches_of(file)

    assert 2500 < readable < 3500, error.value


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(TapeError, match="cannot be read"):
        batches_of(tmp_path / "absent.csv")


DAY_MS = 24 * 3_600_000


def kept_and_refused(folder: Path, *rows: str) -> tuple[list[int], list[tuple[int, str]]]:
    reader, batches = batches_of(a_tape(folder, *rows))
    kept = [trade_id for batch in batches for trade_id in batch.trade_id.tolist()]
    return kept, [(row.line, row.reason) for row in reader.refused]


def at(trade_id: int, event_ms: int, trade_ms: int | None = None, *, quantity: str = "1.0", price: str = "1.0") -> str:
    trade_ms = event_ms if trade_ms is None else trade_ms
    return f"{START_MS + event_ms},AB,{trade_id},{price},{quantity},{START_MS + trade_ms},true"


@pytest.mark.parametrize("off_ms", [400 * DAY_MS, -400 * DAY_MS, 3_600_001])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_trade_time_far_from_its_event_time_is_refused(tmp_path, off_ms, place):
    rows = [at(i, i * 1000, i * 1000 + (off_ms if i == place else 0)) for i in range(5)]

    reader, batches = batches_of(a_tape(tmp_path, *rows))

    assert [i for batch in batches for i in batch.trade_id.tolist()] == [i for i in range(5) if i != place]
    assert batches[0].covers_from_ms == START_MS + 60_000
    assert batches[-1].watermark_ms < START_MS + 60_000
    [refused] = reader.refused
    assert (refused.file, refused.line) == ("tape.csv", place + 2)
    assert refused.reason.endswith(f"differ by 3600000 ms, event_time was {-off_ms} ms later")


def test_a_first_trade_time_within_the_limit_does_not_move_what_the_tape_covers(tmp_path):
    _, batches = batches_of(a_tape(tmp_path, at(1, 0, -3_500_000), at(2, 1000)))

    assert batches[0].covers_from_ms == START_MS


@pytest.mark.parametrize("off_ms", [10 * DAY_MS, -10 * DAY_MS, DAY_MS + 60_000])
@pytest.mark.parametrize("place", [0, 1, 3, 5])
def test_a_lone_event_time_far_from_its_neighbours_is_refused(tmp_path, off_ms, place):
    rows = [at(i, i * 1000 + (off_ms if i == place else 0)) for i in range(6)]

    kept, [(line, reason)] = kept_and_refused(tmp_path, *rows)

    assert kept == [i for i in range(6) if i != place]
    assert line == place + 2
    assert "86400000 ms" in reason


def test_wrong_times_in_a_row_do_not_confirm_each_other(tmp_path):
    times_ms = [0, 1000, 10 * DAY_MS, 11 * DAY_MS, 2000, 3000]

    kept, refused = kept_and_refused(tmp_path, *[at(i, t) for i, t in enumerate(times_ms)])

    assert kept == [0, 1, 4, 5]
    assert [line for line, _ in refused] == [4, 5]


@pytest.mark.parametrize(
    "times_ms",
    [
        [0, 1000, 8_100_000, 8_101_000],  # an exchange halt of 2 h 15 min
        [0, 1000, 3 * DAY_MS, 3 * DAY_MS + 1000],  # a recording that paused
        [0, 30 * 3_600_000, 60 * 3_600_000, 90 * 3_600_000, 90 * 3_600_000 + 5],  # one trade every 30 hours
    ],
)
def test_pauses_that_the_next_rows_confirm_are_accepted(tmp_path, times_ms):
    kept, refused = kept_and_refused(tmp_path, *[at(i, t) for i, t in enumerate(times_ms)])

    assert kept == list(range(len(times_ms)))
    assert refused == []


@pytest.mark.parametrize("chunk_bytes", [60, 150, 1000])
def test_what_is_refused_does_not_depend_on_chunk_sizes(tmp_path, monkeypatch, chunk_bytes):
    off_ms = {0: 10 * DAY_MS, 40: 12 * DAY_MS, 41: -3 * DAY_MS, 80: 10 * DAY_MS, 81: 400 * DAY_MS, 199: 5 * DAY_MS}
    rows = [at(i, i * 1000 + off_ms.get(i, 0), quantity="1e5" if i == 42 else "1.5") for i in range(200)]
    rows += [at(i, 4 * DAY_MS + i * 1000, i * 1000 * (i % 2) + 4 * DAY_MS) for i in range(200, 400)]
    rows += [at(900, 4 * DAY_MS, quantity="0.000000000000000001"), at(901, 4 * DAY_MS, quantity="99999999.5")]
    whole = kept_and_refused(tmp_path, *rows)

    monkeypatch.setattr(reader_module, "CHUNK_BYTES", chunk_bytes)

    assert kept_and_refused(tmp_path, *rows) == whole
    # 4 days later the tape goes on, so that row 199's jump of 5 days is not refuted: it is the tape's own.
    assert [line for line, _ in whole[1]][:6] == [2, 42, 43, 44, 82, 83]


def test_a_quantity_that_does_not_fit_its_symbols_scale_is_refused_alone(tmp_path):
    tiny, large = "0.000000000000000001", "100000"

    kept, refused = kept_and_refused(
        tmp_path, at(1, 0, quantity=large), at(2, 1, quantity=tiny), at(3, 2, quantity=large), at(4, 3, quantity="0.5")
    )
    turned, turned_refused = kept_and_refused(
        tmp_path, at(1, 0, quantity=tiny), at(2, 1, quantity=large), at(3, 2, quantity="9")
    )

    rule = "a quantity in steps of its symbol's most decimals must fit 64 bits, like those before it"
    assert (kept, refused) == ([1, 3, 4], [(3, rule)])
    assert (turned, turned_refused) == ([1, 3], [(3, rule)])


@pytest.mark.parametrize("price", ["9007199254740993", "90071992.54740993", "0.000000000000001"])
def test_a_price_beyond_the_steps_a_float_names_is_refused_alone(tmp_path, price):
    kept, refused = kept_and_refused(tmp_path, at(1, 0, price="10.25"), at(2, 1, price=price), at(3, 2, price="10.5"))

    rule = "a price in steps of its symbol's most decimals must be below 2^53, like those before it"
    assert (kept, refused) == ([1, 3], [(3, rule)])


@pytest.mark.parametrize("decimals", [0, 3, 7, 11, 15])
def test_the_largest_prices_that_are_accepted_pass_the_batches_own_check(tmp_path, decimals):
    steps = [str(2**53 - 4 - i) for i in range(50)]
    prices = [f"{text[: len(text) - decimals]}.{text[len(text) - decimals :]}" for text in steps]

    kept, refused = kept_and_refused(tmp_path, *[at(i, i, price=price) for i, price in enumerate(prices)])

    assert (len(kept), refused) == (50, [])


def test_a_row_that_is_wrong_itself_does_not_refute_a_pause(tmp_path):
    times_ms = [0, 1000, 3 * DAY_MS, -5 * DAY_MS, 3 * DAY_MS + 1000]

    kept, refused = kept_and_refused(tmp_path, *[at(i, t) for i, t in enumerate(times_ms)])

    assert kept == [0, 1, 2, 4]
    assert [line for line, _ in refused] == [5]


def test_a_symbol_that_only_refused_rows_name_is_not_known(tmp_path):
    reader, _ = batches_of(a_tape(tmp_path, a_row(), f"{START_MS},NEW,1,-1.0,1.0,{START_MS},true", a_row(trade_id=2)))

    assert reader.symbols == ["ADAUSDT"]
