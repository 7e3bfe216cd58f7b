"""From a Decision to the signal it opens."""

from collections.abc import Iterable

from shared.deciding.active import ActiveStrategy
from shared.domain.decimals import plain_text
from shared.domain.decisions import Decision, Sizing
from shared.domain.errors import InvalidValueError
from shared.domain.identity import signal_id
from shared.domain.signals import Signal, SignalStatus
from shared.domain.timeframe import MINUTE_MS
from shared.portfolio.sizing import risk_sizing


def opened_signal_id(decision: Decision) -> str | None:
    """Id of the signal that the Decision's entry opens; None where it is no entry."""
    side = decision.action.side
    if side is None:
        return None
    return signal_id(
        strategy=decision.strategy,
        trigger=decision.trigger,
        exchange=decision.exchange,
        symbol=decision.symbol,
        timeframe=decision.timeframe,
        candle_open_time_ms=decision.open_time_ms,
        side=side,
    )


def opened_signal(decision: Decision, active: ActiveStrategy, *, prev_hash: str, price_decimals: int) -> Signal:
    """Version 1 of the signal: entry at the candle's close. The same Decision always gives the same signal."""
    side, name = decision.action.side, opened_signal_id(decision)
    if side is None or name is None:
        place = f"{decision.exchange} {decision.symbol} {decision.open_time_ms}"
        raise InvalidValueError(f"only an entry opens a signal, was {decision.action} ({place})")
    return Signal(
        signal_id=name,
        version=1,
        status=SignalStatus.OPEN,
        strategy=decision.strategy,
        trigger=decision.trigger,
        exchange=decision.exchange,
        symbol=decision.symbol,
        timeframe=decision.timeframe,
        side=side,
        candle_open_time_ms=decision.open_time_ms,
        opened_at_ms=decision.close_time_ms,
        entry_price=decision.reference_price,
        take_profit=decision.take_profit,
        stop_loss=decision.stop_loss,
        max_age_candles=active.max_age_candles,
        price_decimals=price_decimals,
        conditions=decision.conditions,
        bias=decision.bias,
        window_digest=decision.windows[0].digest,
        prev_hash=prev_hash,
        score=decision.score,
        sizing=sizing_of(decision),
        trail_pct=decision.trail_pct,
        time_exit_ms=_time_exit_ms(decision),
        time_exit_below_pct=_number(decision.parameters.get("time_exit_below_pct") or 0.0),
    )


def sizing_of(decision: Decision) -> Sizing | None:
    """The Decision's own sizing, else what its stop may cost by its parameters `equity` and `risk_pct`; None without.

    It knows nothing of other open signals: those of other symbols may be handled before or after, and a signal must be the same
    either way. `open_risk_pct_max` is stated with it, for whoever takes the position.
    """
    own, stop = decision.parameters, decision.stop_loss
    if decision.sizing is not None or own.get("risk_pct") is None or own.get("equity") is None or stop is None:
        return decision.sizing
    risk_pct, remembered = _number(own["risk_pct"]), decision.inputs.get("memory.risk_pct_max")
    limit, decimals = own.get("open_risk_pct_max"), own.get("quantity_decimals")
    return risk_sizing(
        equity=_number(own["equity"]),
        risk_pct=risk_pct if remembered is None else min(risk_pct, _number(remembered)),
        entry=decision.reference_price,
        stop=stop,
        open_risk_pct_max=None if limit is None else _number(limit),
        quantity_decimals=None if decimals is None else int(_number(decimals)),
    )


def _time_exit_ms(decision: Decision) -> int | None:
    minutes = decision.parameters.get("time_exit_minutes")
    return None if minutes is None else round(_number(minutes) * MINUTE_MS)


def _number(value: object) -> float:
    return float(str(value))


def decimals_seen(prices: Iterable[float]) -> int:
    """The most decimals any of the prices needs: the instrument's price step as far as its prices show it.

    [60000.1, 60000.0] -> 1. For display only, until an instrument table says better; 0 for no prices.
    """
    return max([_decimals(price) for price in prices], default=0)


def _decimals(price: float) -> int:
    text = repr(price)
    if "e" in text:
        text = plain_text(price)
    elif text.endswith(".0"):
        return 0
    return len(text.partition(".")[2])
