"""A backtest told once more, slowly: minute by minute, plain Python and floats, straight from the description.

Shares nothing with research, the portfolio or the strategies: rows are lists (t, o, h, l, c, v), Decisions come from the slow
twins of the strategies, money is a float.
"""

MINUTE = 60_000


def with_flat_minutes(rows):
    """(row, whether it is missing): a minute the file leaves out repeats the close before it."""
    found = []
    for row in rows:
        while found and row[0] - found[-1][0][0] > MINUTE:
            before = found[-1][0]
            found.append(([before[0] + MINUTE, *[before[4]] * 4, 0.0], True))
        found.append((row, False))
    return found


def slow_backtest(rows, say, *, minutes, length, max_age, close_on_opposite, cash, fraction, fee, worse, lingers=None):
    """Trades as dicts. say: the strategy's twin on a window; fee, worse: shares of a fill's notional and price.

    What a twin says of `trail` (percent) makes a stop follow the best price; lingers: (minutes, percent) of the time exit.
    """
    size, bars, part, held, trades = minutes * MINUTE, [], [], None, []
    for row, missing in with_flat_minutes(rows):
        close_ms = row[0] + MINUTE
        if held is not None:
            end = ends_on(held, row, close_ms, size, max_age)
            if end is not None:
                cash = settle(held, *end, close_ms, cash, fee, worse, trades)
                held = None
        part.append((row, missing))
        if close_ms % size:
            continue
        if len(part) == minutes:
            bars.append(bar_of(part, size, close_ms))
        part = []
        window = bars[-length:]
        if len(window) < length:
            continue
        said = say({name: [bar[name] for bar in window] for name in "tohlcv"})
        side = {"enter_long": 1, "enter_short": -1}.get(said.action)
        if held is not None:
            turned = said.action == "exit" or (side is not None and side != held["side"])
            if turned and close_on_opposite:
                cash = settle(held, row[4], "reversed", close_ms, cash, fee, worse, trades)
                held = None
        elif side is not None and not any(bar["missing"] for bar in window):
            held = {
                "side": side,
                "at": close_ms,
                "entry": row[4],
                "quantity": cash * fraction / row[4],
                "target": wanted(said.target, row[4], side),
                "stop": wanted(said.stop, row[4], -side),
                "trail": said.trail,
                "lingers": lingers,
            }
    return trades


def bar_of(part, size, close_ms):
    traded = [row for row, _ in part if row[5]] or [row for row, _ in part]
    return {
        "t": close_ms - size,
        "o": traded[0][1],
        "h": max(row[2] for row in traded),
        "l": min(row[3] for row in traded),
        "c": part[-1][0][4],
        "v": sum(row[5] for row, _ in part),
        "missing": any(missing for _, missing in part),
    }


def wanted(level, entry, direction):
    """A level counts only where it lies on its side of the entry."""
    return level if level is not None and (level - entry) * direction > 0 else None


def ends_on(held, row, close_ms, size, max_age):
    """(price, reason) where this minute ends it: a gap at the open, the stop before the target, then its age."""
    side, (_, opened, high, low, closed, _) = held["side"], row
    if held["trail"] is not None and "best" in held:
        follows = held["best"] * (1 - side * held["trail"] / 100)
        nearer = max if side > 0 else min
        held["stop"] = follows if held["stop"] is None else nearer(held["stop"], follows)
    held["best"] = max(high, held.get("best", high)) if side > 0 else min(low, held.get("best", low))
    for level, reason, beyond in ((held["stop"], "sl", -1), (held["target"], "tp", 1)):
        if level is not None and (opened - level) * side * beyond >= 0:
            return opened, reason
    for level, reason in ((held["stop"], "sl"), (held["target"], "tp")):
        if level is not None and low <= level <= high:
            return level, reason
    if max_age is not None and close_ms - held["at"] >= max_age * size:
        return closed, "expired"
    gained = 100 * side * (closed / held["entry"] - 1)
    if held["lingers"] and close_ms - held["at"] >= held["lingers"][0] * MINUTE and gained < held["lingers"][1]:
        return closed, "expired"
    return None


def settle(held, price, reason, close_ms, cash, fee, worse, trades):
    side, quantity = held["side"], held["quantity"]
    bought, sold = held["entry"] * (1 + side * worse), price * (1 - side * worse)
    fees = quantity * (bought + sold) * fee
    profit = side * quantity * (sold - bought) - fees
    trades.append(
        {"opened": held["at"], "closed": close_ms, "side": side, "reason": reason, "profit": profit, "exit": price}
    )
    return cash + profit
