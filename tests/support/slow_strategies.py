"""Every strategy told once more, slowly: plain Python on lists, straight from its description, one window at a time.

Shares nothing with the strategies, their kernels or the indicators. A window is a dict of lists (t, o, h, l, c, v) of one
timeframe; a strategy gets one per timeframe and says what it would do, with the values its conditions rest on.
"""

import math
from dataclasses import dataclass, field

from tests.support import slow_indicators as slow

LONG, SHORT, EXIT, NONE = "enter_long", "enter_short", "exit", "none"


@dataclass
class Said:
    action: str
    values: dict = field(default_factory=dict)
    score: float | None = None
    target: float | None = None
    stop: float | None = None
    holds: tuple = ()
    extra: dict = field(default_factory=dict)
    trail: float | None = None


def acts(long, short, *, flat=False):
    if bool(long) == bool(short):
        return NONE
    return LONG if long else (EXIT if flat else SHORT)


def rsi_divergence(w, *, mode="extreme", edge=25, signs_min=0, by_atr=False, trailing=False):
    """RSI against the volume, or against the price; signs of exhaustion; levels and how far a stop trails."""
    rsi, close, volume = slow.wilder_rsi(w["c"], 14), w["c"][-1], w["v"][-1]
    spike = volume > 1.5 * sum(w["v"][-20:]) / 20
    low = high = False
    if mode != "extreme":
        low = slow.bullish_divergence(w["l"], rsi, 3, 60)[-1] == 1 and rsi[-4] <= edge + 10
        high = slow.bearish_divergence(w["h"], rsi, 3, 60)[-1] == 1 and rsi[-4] >= 90 - edge
    fast, quiet = slow.wilder_rsi(w["c"], 7)[-1], volume < 0.75 * slow.ema(w["v"], 20)[-1]
    sides = []
    for extreme, turn, tired, wicks in (
        (rsi[-1] <= edge and spike, low, fast < 20, double_wick(w, 1)),
        (rsi[-1] >= 100 - edge and spike, high, fast > 80, double_wick(w, -1)),
    ):
        asks = (extreme and mode != "divergence") or (turn and mode != "extreme")
        sides.append(asks and tired + quiet + wicks >= signs_min)
    reach = slow.atr(w["h"], w["l"], w["c"], 14)[-1]
    sign = 1 if sides[0] else -1
    target, stop = (2 * reach, reach) if by_atr else (close * 0.015, close * 0.007)
    trail = max(0.3, min(1.0, 50 * reach / close)) if trailing else None
    return Said(acts(*sides), {}, target=close + sign * target, stop=close - sign * stop, trail=trail)


def double_wick(w, sign):
    """Both last candles leave a wick of more than 60 % of their range, to nearly the same price."""
    for i in (-2, -1):
        top, bottom = max(w["o"][i], w["c"][i]), min(w["o"][i], w["c"][i])
        wick = bottom - w["l"][i] if sign > 0 else w["h"][i] - top
        if not wick > 0.6 * (w["h"][i] - w["l"][i]):
            return False
    ends = w["l"] if sign > 0 else w["h"]
    return abs(ends[-1] / ends[-2] - 1) <= 0.001


def ema_cross(w):
    quick, steady = slow.ema(w["c"], 9), slow.ema(w["c"], 21)
    gap = [100 * (q - s) / s for q, s in zip(quick, steady, strict=True)]
    returns = [w["c"][i] / w["c"][i - 1] - 1 for i in range(len(w["c"]) - 20, len(w["c"]))]
    calm = 100 * slow.deviation(returns)
    now, before = gap[-1], gap[-2]
    action = acts(now > 0.1 >= before and calm <= 10, now < -0.1 <= before and calm <= 10)
    return Said(action, {"ema_gap_pct_above": now, "ema_gap_pct_before_not_above": before, "volatility_pct": calm})


def rsi_momentum(w):
    rsi, momentum = slow.wilder_rsi(w["c"], 14)[-1], w["c"][-1] - w["c"][-11]
    action = acts(rsi < 30 and momentum > 0, rsi > 70 and momentum < 0)
    return Said(action, {"rsi_oversold": rsi, "momentum_up": momentum})


def bollinger(w):
    upper, middle, lower = (line[-1] for line in slow.bollinger(w["c"], 20, 2))
    width, close = 100 * (upper - lower) / middle, w["c"][-1]
    action = acts(close <= lower and width >= 1, close >= upper and width >= 1)
    return Said(action, {"band_width_pct": width, "close_at_lower_band": close}, target=middle)


def ema_atr(w):
    quick, steady = slow.ema(w["c"], 12), slow.ema(w["c"], 26)
    reach, close = slow.atr(w["h"], w["l"], w["c"], 14)[-1], w["c"][-1]
    slope, calm = 100 * (quick[-1] / quick[-2] - 1), 100 * reach / close
    up = quick[-1] > steady[-1] and slope >= 0.02 and calm <= 5
    down = quick[-1] < steady[-1] and slope <= -0.02 and calm <= 5
    sign = 1 if up else -1
    values = {"slope_pct_up": slope, "atr_pct": calm, "ema_fast_above_slow": quick[-1]}
    return Said(acts(up, down), values, target=close + sign * 2 * reach, stop=close - sign * 1.5 * reach)


def donchian(w):
    top, bottom, close = max(w["h"][-21:-1]), min(w["l"][-21:-1]), w["c"][-1]
    return Said(acts(close > top, close < bottom), {"close_above_channel": close}, stop=(top + bottom) / 2)


def supertrend(w):
    line, trend = slow.supertrend(w["h"], w["l"], w["c"], 10, 3)
    action = acts(trend[-1] > 0 > trend[-2], trend[-1] < 0 < trend[-2])
    return Said(action, {"trend_up": trend[-1], "trend_before_down": trend[-2]}, stop=line[-1])


def macd_adx(w, per_day=48, *, mode="inverse_vol", target=0.02):
    histogram = slow.macd(w["c"], 8, 24, 9, "talib")[2]
    strength = slow.adx(w["h"], w["l"], w["c"], 14, "talib")[2][-1]
    returns = [w["c"][i] / w["c"][i - 1] - 1 for i in range(len(w["c"]) - 20, len(w["c"]))]
    by_day = slow.deviation(returns, sample=True) * math.sqrt(per_day)
    raw = 0.0
    if by_day > 0:
        squares = sum(r * r for r in returns) / 20 * per_day
        raw = target / by_day if mode == "inverse_vol" else target**2 / squares
    scale = min(max(raw, 0.0), 1.0)
    now, before = histogram[-1], histogram[-2]
    allowed = strength >= 20 and scale > 0
    action = acts(now > 0 >= before and allowed, now < 0 <= before and allowed, flat=True)
    notional = 100_000 * min(1.0, 0.1 * scale)
    values = {"histogram_above_zero": now, "adx": strength, "volatility_scale": scale}
    return Said(action, values, extra={"notional": notional, "quantity": notional / w["c"][-1]})


def continuation(w):
    closes = w["c"][-20:]
    mean, change, close = sum(closes) / 20, closes[-1] / closes[0] - 1, closes[-1]
    reach = slow.atr(w["h"], w["l"], w["c"], 14)[-1]
    up, down = close > 1.01 * mean and change > 0.02, close < 0.99 * mean and change < -0.02
    sign = 1 if up else -1
    score = min(100.0, 70 + 100 * abs(change)) if up or down else 0.0
    values = {"change_pct_up": 100 * change, "close_above_sma": close}
    return Said(acts(up, down), values, score, target=close + sign * 3 * reach, stop=close - sign * 2 * reach)


def reversal(w):
    upper, middle, lower = (line[-1] for line in slow.bollinger(w["c"], 20, 2))
    open_price, close = w["o"][-1], w["c"][-1]
    reach = slow.atr(w["h"], w["l"], w["c"], 14)[-1]
    up, down = close < lower and close > open_price, close > upper and close < open_price
    beyond = (lower - close) / close if up else (close - upper) / close
    score = min(100.0, 65 + 200 * beyond) if up or down else 0.0
    sign = 1 if up else -1
    return Said(acts(up, down), {"close_above_open": close}, score, target=middle, stop=close - sign * 1.5 * reach)


def technical_score(closes):
    quick, steady = slow.ema(closes, 20)[-1], slow.ema(closes, 50)[-1]
    line, signal, _ = slow.macd(closes, 12, 26, 9, "classic")
    rsi = slow.wilder_rsi(closes, 14)[-1]
    score = 50 + (10 if quick > steady else -5) + (10 if line[-1] > signal[-1] else -5)
    score += 5 if rsi > 70 else 10 if rsi >= 55 else -10 if rsi < 45 else 0
    return score + (5 if quick > sum(closes[-20:]) / 20 else 0)


def mtf_score(windows):
    weights = {"15m": 0.40, "1h": 0.25, "4h": 0.20, "1d": 0.10, "1w": 0.05}
    there = {name: weight for name, weight in weights.items() if name in windows}
    total = sum(there.values())
    score = sum(weight * technical_score(windows[name]["c"]) for name, weight in there.items()) / total
    score = round(score, 9)
    return Said(acts(score >= 60, score <= 40), {"score": score}, score)


LEVELS = {"P": 0.0, "R1": 0.382, "R2": 0.618, "R3": 1.0, "S1": -0.382, "S2": -0.618, "S3": -1.0}


def pivot_levels(w, day):
    """Levels of the day before the candle's; none where it is absent or the close too far from it."""
    before = (w["t"][-1] // 86_400_000 - 1) * 86_400_000
    if before not in day["t"]:
        return {}
    i = day["t"].index(before)
    high, low, close = day["h"][i], day["l"][i], day["c"][i]
    half = (high - low) / 2
    if not low - half <= w["c"][-1] <= high + half:
        return {}
    return {name: (high + low + close) / 3 + share * (high - low) for name, share in LEVELS.items()}


def macd_unified(w, five, day):
    """Which of the 24 alerts hold, and which let go, on the last 15m candle."""
    line, signal, _ = slow.ppo(w["c"], 7, 16, 5)
    rsi = slow.smooth_rsi(w["c"], 21, 5, 0.01, 0.1, 5)
    vwap = slow.vwap_daily(w["t"], w["h"], w["l"], w["c"], w["v"])
    m = slow.mmh(w["c"], 144, 0.9)
    cloud = slow.cirrus_cloud(w["c"], 22, 9, 15, 5)[2][-1]
    close, before, opened = w["c"][-1], w["c"][-2], w["o"][-1]
    span = w["h"][-1] - w["l"][-1]
    slow_15, slow_5 = slow.rma(w["c"], 50)[-1], slow.rma(five["c"], 200)[-1]
    doji = span <= 1e-9
    buy = slow_15 < close and slow_5 < five["c"][-1] and m[-1] > 0 and cloud > 0 and close > opened
    buy = not doji and buy and (w["h"][-1] - close) / span < 0.2
    sell = slow_15 > close and slow_5 > five["c"][-1] and m[-1] < 0 and cloud < 0 and close < opened
    sell = not doji and sell and (close - w["l"][-1]) / span < 0.2
    p, q = line[-1], line[-2]
    holds = {
        "ppo_signal_up": buy and q <= signal[-2] and p > signal[-1] and p < 0.2,
        "ppo_signal_down": sell and q >= signal[-2] and p < signal[-1] and p > -0.2,
        "ppo_zero_up": buy and q <= 0 < p,
        "ppo_zero_down": sell and q >= 0 > p,
        "ppo_011_up": buy and q <= 0.11 < p,
        "ppo_011_down": sell and q >= -0.11 > p,
        "rsi_50_up": buy and rsi[-2] <= 50 < rsi[-1] and p < 0.3,
        "rsi_50_down": sell and rsi[-2] >= 50 > rsi[-1] and p > -0.3,
        "vwap_up": buy and before <= vwap[-2] and close > vwap[-1],
        "vwap_down": sell and before >= vwap[-2] and close < vwap[-1],
        "mmh_buy": buy and m[-1] > 0 and m[-4] > m[-3] > m[-2] and m[-1] > m[-2],
        "mmh_sell": sell and m[-1] < 0 and m[-4] < m[-3] < m[-2] and m[-1] < m[-2],
    }
    resets = {
        "ppo_signal_up": p <= signal[-1],
        "ppo_signal_down": p >= signal[-1],
        "ppo_zero_up": p <= 0 or not buy,
        "ppo_zero_down": p >= 0 or not sell,
        "ppo_011_up": p <= 0.11 or not buy,
        "ppo_011_down": p >= -0.11 or not sell,
        "rsi_50_up": rsi[-1] <= 50 or not buy or p >= 0.3,
        "rsi_50_down": rsi[-1] >= 50 or not sell or p <= -0.3,
        "vwap_up": close <= vwap[-1] or not buy,
        "vwap_down": close >= vwap[-1] or not sell,
        "mmh_buy": m[-1] <= m[-2],
        "mmh_sell": m[-1] >= m[-2],
    }
    for name, level in pivot_levels(w, day).items():
        near = abs(close - level) / level <= 0.005
        if name != "R3":
            holds[f"pivot_up_{name}"] = buy and before <= level < close and near
            resets[f"pivot_up_{name}"] = close <= level
        if name != "S3":
            holds[f"pivot_down_{name}"] = sell and before >= level > close and near
            resets[f"pivot_down_{name}"] = close >= level
    if doji or abs(close / before - 1) > 0.5:
        holds, resets = {}, {}
    found = {key for key, value in holds.items() if value}, {key for key, value in resets.items() if value}
    values = {"mmh_above_zero": m[-1], "ppo_zero_up": p, "rsi_50_up": rsi[-1], "close_above_rma50": close}
    return Said(NONE, values, holds=found[0], extra={"resets": found[1], "gates": (buy, sell), "vwap": vwap[-1]})


ONE_WINDOW = {
    "rsi_divergence": rsi_divergence,
    "ema_cross": ema_cross,
    "rsi_momentum": rsi_momentum,
    "bollinger": bollinger,
    "ema_atr": ema_atr,
    "donchian": donchian,
    "supertrend": supertrend,
    "macd_adx": macd_adx,
    "continuation": continuation,
    "reversal": reversal,
}
