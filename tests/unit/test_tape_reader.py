"""The tape reader: exact values, bad rows named and left out, chunk sizes without effect."""

import gzip
from pathlib import Path

import pytest

from cli.replay import reader as reader_module
from cli.replay.batches import BatchMaker
from cli.replay.reader import TapeError, TapeReader, TextIdsFoundError

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


def batches_of(file: Path, *, ids_as_text: bool = False) -> tuple[TapeReader, list]:
    reader = TapeReader(file, ids_as_text=ids_as_text)
    return reader, list(BatchMaker(reader, "binance-spot").batches())


@pytest.mark.parametrize("name", ["tape.csv", "tape.csv.gz"])
def test_prices_and_quantities_are_exact(tmp_path, name):
    _, [batch, end] = batches_of(a_tape(tmp_path, a_row(price="0.08403000", quantity="0.10000001"), name=name))

    trade = batch.row(0)
    assert trade.price == 0.08403
    assert (trade.quantity_units, trade.quantity_scale) == (10_000_001, 8)
    assert trade.taker_is_buyer
    assert len(end) == 0


def test_a_batch_ends_at_the_row_that_lifts_the_watermark_over_a_minute(tmp_path):
    times_ms = [0, 30_000, 62_000, 62_999, 63_000, 64_000]
    rows = [f"{START_MS + t},ADAUSDT,{i},1.0,1.0,{START_MS + t},true" for i, t in enumerate(times_ms)]

    _, batches = batches_of(a_tape(tmp_path, *rows))

    assert [len(batch) for batch in batches] == [2, 3, 1, 0]
    assert batches[1].watermark_ms == START_MS + 60_000


def test_the_first_minute_is_never_vouched_for_and_the_last_one_neither(tmp_path):
    _, batches = batches_of(a_tape(tmp_path, a_row(at_ms=START_MS), a_row(trade_id=2, at_ms=START_MS + 120_500)))

    assert batches[0].covers_from_ms == START_MS + 60_000
    assert batches[-1].watermark_ms == START_MS + 120_000


def test_chunk_sizes_change_nothing_that_a_minute_can_see(tmp_path, monkeypatch):
    rows = [a_row(trade_id=i, at_ms=START_MS + 700 * i, price=f"{1 + i / 1000:.4f}") for i in range(400)]
    file = a_tape(tmp_path, *rows)

    def handed_over(chunk_bytes: int) -> dict[int, int]:
        """Minute that the watermark enters -> how many trades had been handed over by then."""
        monkeypatch.setattr(reader_module, "CHUNK_BYTES", chunk_bytes)
        _, batches = batches_of(file)
        seen, found = 0, {}
        for batch in batches:
            seen += len(batch)
            found.setdefault(batch.watermark_ms // 60_000, seen)
        return {minute: count for minute, count in found.items() if minute * 60_000 >= START_MS}

    assert handed_over(150) == handed_over(1 << 20)
    assert len(handed_over(150)) == 5


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
        (f"{START_MS},A#B,1,1.0,1.0,{START_MS},true", "symbol and trade_id must not be empty nor hold '#' or ':'"),
        (f"{START_MS},AB,1,1.0,1.0,{START_MS},maybe", "buyer_market_maker must be true or false"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line_and_the_rest_goes_on(tmp_path, row, reason):
    file = a_tape(tmp_path, a_row(trade_id=1), row, a_row(trade_id=3))

    reader, [batch, _] = batches_of(file)

    assert batch.trade_id.tolist() == [1, 3]
    [refused] = reader.refused
    assert (refused.file, refused.line, refused.reason) == ("tape.csv", 3, reason)


def test_a_text_id_anywhere_asks_for_ids_as_text(tmp_path):
    file = a_tape(tmp_path, a_row(trade_id=1), a_row(trade_id="a-2"))

    with pytest.raises(TextIdsFoundError):
        batches_of(file)
    _, [batch, _] = batches_of(file, ids_as_text=True)

    assert batch.trade_id.tolist() == ["1", "a-2"]
    assert batch.tie_rank.tolist() == [0, 1]


def test_a_missing_column_is_named(tmp_path):
    file = a_tape(tmp_path, header="event_time,symbol,trade_id,quantity,trade_time")

    with pytest.raises(TapeError, match=r"missing: price \(.*tape\.csv line 1\)"):
        batches_of(file)


def test_a_cut_gzip_names_the_file_and_the_line(tmp_path):
    file = a_tape(tmp_path, *[a_row(trade_id=i) for i in range(5000)], name="tape.csv.gz")
    file.write_bytes(file.read_bytes()[:-50])

    with pytest.raises(TapeError, match=r"cut or damaged near line \d+ .*tape\.csv\.gz"):
        batches_of(file)


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(TapeError, match="cannot be read"):
        batches_of(tmp_path / "absent.csv")
