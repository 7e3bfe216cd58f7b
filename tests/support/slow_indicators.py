"""Every indicator once more, slowly and obviously: lists in, lists out, each value from its definition.

Shares no line with shared/indicators. Windows are taken whole for every candle, recursions are written with their weights,
nothing is carried along that could be computed again.
"""

import itertools
import math

NAN = math.nan


def window(values, i, n):
    """The last n values at i, or None while there are fewer or one is not known."""
    part = values[i + 1 - n : i + 1] if i + 1 >= n else []
    return part if part and not any(map(math.isnan, part)) else None


def over_windows(values, n, compute):
    parts = [window(values, i, n) for i in range(len(values))]
    return [NAN if part is None else compute(part) for part in parts]


def mean(part):
    return math.fsum(part) / len(part)


def deviation(part, *, sample=False):
    middle = mean(part)
    squares = math.fsum((value - middle) ** 2 for value in part)
    return math.sqrt(squares / (len(part) - sample))


def sma(values, n):
    return over_windows(values, n, mean)


def rolling_max(values, n):
    return over_windows(values, n, max)


def rolling_min(values, n):
    return over_windows(values, n, min)


def average(values, n, seed, weight, known=None):
    if known is None:  # not known at first: starts later
        known = next((i for i, value in enumerate(values) if not math.isnan(value)), len(values))
    first = known + n - 1 if seed == "average" else known
    out = [NAN] * min(first, len(values))
    for i in range(first, len(values)):
        if i == first:
            out.append(mean(values[known : i + 1]) if seed == "average" else values[i])
        else:
            out.append((1 - weight) * out[-1] + weight * values[i])
    return out


def ema(values, n, seed="average"):
    return average(values, n, seed, 2 / (n + 1))


def rma(values, n, seed="average"):
    return average(values, n, seed, 1 / n)


def wilder_rsi(close, n):
    change = [NAN] + [after - before for before, after in itertools.pairwise(close)]
    gains = [value if math.isnan(value) else max(value, 0) for value in change]
    losses = [value if math.isnan(value) else max(-value, 0) for value in change]
    gain, loss = (average(values, n, "average", 1 / n, known=1) for values in (gains, losses))
    return [strength(g, x) for g, x in zip(gain, loss, strict=True)][: len(close)]


def strength(gain, loss):
    if math.isnan(gain) or math.isnan(loss):
        return NAN
    if loss == 0:
        return 50.0 if gain == 0 else 100.0
    return 100 - 100 / (1 + gain / loss)


def macd(close, fast, slow, signal, seeding):
    how = "first" if seeding == "first" else "average"
    late = min(slow - fast, len(close)) if seeding == "talib" else 0
    quick = [NAN] * late + ema(close[late:], fast, how)
    line = [q - s for q, s in zip(quick, ema(close, slow, how), strict=True)]
    line = [value if i >= slow - 1 else NAN for i, value in enumerate(line)]
    smooth = ema(line, signal, how)
    if seeding == "talib":
        line = [NAN if math.isnan(s) else value for value, s in zip(line, smooth, strict=True)]
    return line, smooth, [value - s for value, s in zip(line, smooth, strict=True)]


def ppo(close, fast, slow, signal):
    steady = ema(close, slow, "first")
    line = [100 * (q - s) / s for q, s in zip(ema(close, fast, "first"), steady, strict=True)]
    smooth = ema(line, signal, "first")
    return line, smooth, [value - s for value, s in zip(line, smooth, strict=True)]


def true_range(high, low, close, first=NAN):
    out = []
    for i in range(len(close)):
        if i == 0:
            out.append(high[0] - low[0] if first == "range" else NAN)
        elif any(map(math.isnan, (high[i], low[i], close[i - 1]))):
            out.append(NAN)
        else:
            out.append(max(high[i], close[i - 1]) - min(low[i], close[i - 1]))
    return out


def atr(high, low, close, n, kind="wilder"):
    if kind == "first_range":
        return rma(true_range(high, low, close, "range"), n)
    if kind == "wilder":
        return rma(true_range(high, low, close), n)
    return sma(true_range(high, low, close), n - 1)


def bollinger(close, n, deviations):
    middle = sma(close, n)
    reach = [deviations * value for value in over_windows(close, n, deviation)]
    return (
        [m + r for m, r in zip(middle, reach, strict=True)],
        middle,
        [m - r for m, r in zip(middle, reach, strict=True)],
    )


def donchian(high, low, n):
    upper, lower = rolling_max(high, n), rolling_min(low, n)
    return upper, [(u + x) / 2 for u, x in zip(upper, lower, strict=True)], lower


def keltner(high, low, close, n, multiplier, atr_period, seed):
    middle = ema(close, n, seed)
    reach = atr(high, low, close, atr_period, "first_range" if seed == "first" else "wilder")
    pairs = list(zip(middle, reach, strict=True))
    return [m + multiplier * r for m, r in pairs], middle, [m - multiplier * r for m, r in pairs]


def adx(high, low, close, n, seeding):
    ranges = true_range(high, low, close)
    plus, minus = [NAN], [NAN]
    for i in range(1, len(close)):
        up, down = high[i] - high[i - 1], low[i - 1] - low[i]
        plus.append(up if up > down and up > 0 else 0.0)
        minus.append(down if down > up and down > 0 else 0.0)
    plus_di, minus_di, dx = [NAN] * len(close), [NAN] * len(close), []
    out = [NAN] * len(close)
    sums = [0.0, 0.0, 0.0]
    for i in range(1, len(close)):
        seeding_now = i < n or (seeding == "classic" and i == n)
        sums = [
            (total if seeding_now else total - total / n) + values[i]
            for total, values in zip(sums, (ranges, plus, minus), strict=True)
        ]
        if i < n:
            continue
        plus_di[i], minus_di[i] = (100 * sums[k] / sums[0] if sums[0] else 0.0 for k in (1, 2))
        both = plus_di[i] + minus_di[i]
        dx.append(100 * abs(plus_di[i] - minus_di[i]) / both if both else None)
        if len(dx) == n:
            out[i] = mean([value or 0.0 for value in dx])
        elif len(dx) > n:
            out[i] = out[i - 1] if dx[-1] is None else ((n - 1) * out[i - 1] + dx[-1]) / n
    return plus_di, minus_di, out


def supertrend(high, low, close, n, multiplier):
    reach = [multiplier * value for value in atr(high, low, close, n)]
    line, direction = [NAN] * len(close), [NAN] * len(close)
    upper = lower = up = None
    for i in range(len(close)):
        middle = (high[i] + low[i]) / 2
        above, below = middle + reach[i], middle - reach[i]
        if upper is None:
            if math.isnan(reach[i]):
                continue
            upper, lower, up = above, below, close[i] >= middle
        if math.isnan(above):
            break  # and so for ever
        if above < upper or close[i - 1] > upper:
            upper = above
        if below > lower or close[i - 1] < lower:
            lower = below
        up = not close[i] <= (lower if up else upper)
        line[i], direction[i] = (lower, 1.0) if up else (upper, -1.0)
    return line, direction


def kalman(values, length, measurement_noise, process_noise):
    out, error = [], 1.0
    for value in values:
        if not out or all(map(math.isnan, out)):
            out.append(value)
            continue
        gain = error / (error + measurement_noise * length)
        out.append((1 - gain) * out[-1] + gain * value)
        error = (1 - gain) * error + process_noise / length
    return out


def smooth_rsi(close, n, length, measurement_noise, process_noise, smoothing):
    return ema(kalman(wilder_rsi(close, n), length, measurement_noise, process_noise), smoothing, "first")


def range_filter(close, n, multiplier):
    change = [NAN] + [abs(after - before) for before, after in itertools.pairwise(close)]
    reach = [multiplier * value for value in ema(ema(change, n, "first"), 2 * n - 1, "first")]
    out = close[:1]
    for i in range(1, len(close)):
        if math.isnan(reach[i]) or math.isnan(out[-1]):
            out.append(NAN)
        elif close[i] > out[-1]:
            out.append(max(out[-1], close[i] - reach[i]))
        else:
            out.append(min(out[-1], close[i] + reach[i]))
    return out


def cirrus_cloud(close, period_1, multiplier_1, period_2, multiplier_2):
    one, two = range_filter(close, period_1, multiplier_1), range_filter(close, period_2, multiplier_2)
    direction = []
    for a, b in zip(one, two, strict=True):
        last = direction[-1] if direction else 1.0
        direction.append(NAN if math.isnan(a) or math.isnan(b) else 1.0 if a < b else -1.0 if a > b else last)
    return one, two, direction


def stochastic(high, low, close, n, smoothing, signal):
    highest, lowest = rolling_max(high, n), rolling_min(low, n)
    raw = [50.0 if h == x else 100 * (c - x) / (h - x) for h, x, c in zip(highest, lowest, close, strict=True)]
    k = sma(raw, smoothing)
    return k, sma(k, signal)


def fisher(high, low, n):
    middle = [(h + x) / 2 for h, x in zip(high, low, strict=True)]
    line, trigger, value, last = [], [], 0.0, 0.0
    for i in range(len(middle)):
        part = window(middle, i, n)
        if part is None:
            line.append(NAN)
            trigger.append(NAN)
            continue
        place = (middle[i] - min(part)) / (max(part) - min(part)) if max(part) > min(part) else 0.5
        value = max(-0.999, min(0.999, 0.66 * (place - 0.5) + 0.67 * value))
        trigger.append(last)
        last = 0.5 * math.log((1 + value) / (1 - value)) + 0.5 * last
        line.append(last)
    return line, trigger


def mmh(close, n, responsiveness):
    reach = [0.0 if math.isnan(value) else value * responsiveness for value in over_windows(close, 50, deviation)]
    worm = close[:1]
    for i in range(1, len(close)):
        step = close[i] - worm[-1]
        worm.append(NAN if math.isnan(step) else worm[-1] + max(-reach[i], min(reach[i], step)))
    raw = [(w - m) / w for w, m in zip(worm, sma(close, n), strict=True)]
    highest, lowest = rolling_max(raw, n), rolling_min(raw, n)
    out, v, m = [], 0.0, 0.0
    for value, high, low in zip(raw, highest, lowest, strict=True):
        if not high - low >= 1e-10:
            v = m = 0.0
            out.append(NAN)
            continue
        v = max(-0.9999, min(0.9999, (value - low) / (high - low) - 0.5 + 0.5 * v))
        m = 0.25 * math.log((1 + v) / (1 - v)) + 0.5 * m
        out.append(m)
    return out


def realised_volatility(close, n, kind, scale):
    returns = [NAN] + [after / before - 1 for before, after in itertools.pairwise(close)]
    compute = {
        "deviation": lambda part: deviation(part, sample=True),
        "root_mean_square": lambda part: math.sqrt(mean([value**2 for value in part])),
        "variance": lambda part: math.fsum(value**2 for value in part),
    }[kind]
    return [scale * value for value in over_windows(returns, n, compute)][: len(close)]


def obv(close, volume):
    out = []
    for i in range(len(close)):
        last = close[i - 1] if i else close[i]
        if any(map(math.isnan, (close[i], volume[i], last, *out[-1:]))):
            out.append(NAN)
        else:
            out.append((out[-1] if out else 0.0) + volume[i] * ((close[i] > last) - (close[i] < last)))
    return out


def volume_zscore(volume, n):
    def score(part):
        middle, spread = mean(part), deviation(part, sample=True)
        return 0.0 if max(part) == min(part) else (part[-1] - middle) / spread

    return over_windows(volume, n, score)


def vwap_daily(open_time_ms, high, low, close, volume):
    out = []
    for i in range(len(close)):
        turnover, total = [], []
        for j in range(i + 1):
            typical = (high[j] + low[j] + close[j]) / 3
            same_day = open_time_ms[j] // 86_400_000 == open_time_ms[i] // 86_400_000
            if same_day and volume[j] > 0 and not math.isnan(typical):
                turnover.append(typical * volume[j])
                total.append(volume[j])
        out.append(math.fsum(turnover) / math.fsum(total) if total else NAN)
    return out


def bullish_divergence(low, oscillator, bars, distance_max):
    return _divergence(low, oscillator, bars, distance_max, 1)


def bearish_divergence(high, oscillator, bars, distance_max):
    return _divergence(high, oscillator, bars, distance_max, -1)


def _divergence(price, oscillator, bars, distance_max, sign):
    def swing(i, known):
        around = range(i - bars, i + bars + 1)
        if around.start < 0 or around.stop > known:
            return False
        before = all(sign * price[i] < sign * price[j] for j in around if j < i)
        return before and all(sign * price[i] <= sign * price[j] for j in around if j > i)

    out = []
    for i in range(len(price)):
        later = i - bars
        nearest = [j for j in range(max(bars, later - distance_max), later) if swing(j, i + 1)]
        found = 0.0
        if swing(later, i + 1) and nearest:
            beyond = sign * (price[later] - price[nearest[-1]])
            gained = sign * (oscillator[later] - oscillator[nearest[-1]])
            found = 1.0 if beyond < 0 < gained else 2.0 if gained < 0 < beyond else 0.0
        out.append(found)
    return out
