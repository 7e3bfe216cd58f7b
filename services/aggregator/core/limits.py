"""Every limit the aggregator keeps, as one value; settings.py reads it from the environment."""

import msgspec

from shared.domain.timeframe import MINUTE_MS


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """All spans in market time.

    hole_timeout_ms:          how far the watermark must be past an uncovered minute before it closes without proof.
    correction_horizon_ms:    trades of minutes older than this (before the watermark) are refused; below the tape's ttl.
    future_max_ms:            trades further ahead of the watermark than this are refused.
    backfill_candles:         closed klines per timeframe that a new symbol starts with.
    repair_minutes_max:       after a longer absence history starts anew with a backfill.
    identity_minutes:         newest minutes of each symbol whose trade ids are remembered.
    close_chunk, correct_chunk: minutes folded, stored and announced together.
    keep_batches:             what each batch said of itself is stored, so that a live day can be replayed.
    count_tape:               the tape's size is counted as it grows, so that it can be kept within its limits.
    """

    hole_timeout_ms: int = 10_000
    correction_horizon_ms: int = 48 * 60 * MINUTE_MS
    future_max_ms: int = 60 * MINUTE_MS
    backfill_candles: int = 400
    repair_minutes_max: int = 7 * 24 * 60
    identity_minutes: int = 5
    close_chunk: int = 2_000
    correct_chunk: int = 200
    keep_batches: bool = True
    count_tape: bool = True


REPLAY_LIMITS = Limits(hole_timeout_ms=0, keep_batches=False, count_tape=False)
