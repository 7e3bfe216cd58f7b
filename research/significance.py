"""Is it the rule, or the time in the market? A rule's entries against random ones that hold as long, as often, on the same side.

A random rule keeps every trade's length, side and size and the rests between them, all in another order: it is in the market for the
same time. The p-value is the share of random rules (the real one counted among them) that earn at least as much, costs paid.
"""

from typing import Final

import msgspec
import numpy as np

from research.fast.trades import Trades
from research.history import FloatArray, IntArray
from shared.domain.checks import require

DRAWS: Final = 2_000
_SEED: Final = 20261120
_ALPHA: Final = 0.05


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """p: of the mean gain of a trade. corrected: times the number of rules that were tried (Bonferroni), at most 1."""

    trades: int
    mean_gain_pct: float
    random_mean_pct: float
    random_high_pct: float  # 95 of 100 random rules earn less
    p: float
    tried: int
    corrected: float

    @property
    def text(self) -> str:
        """Plain words."""
        figures = (
            f"{self.trades} trades earn {self.mean_gain_pct:+.3f} % each after costs; random entries {self.random_mean_pct:+.3f} %, "
            f"the luckiest twentieth of them {self.random_high_pct:+.3f} % or more; p = {self.p:.3f}"
        )
        if self.tried > 1:
            figures += f", corrected for {self.tried} rules tried {self.corrected:.3f}"
        if self.corrected > _ALPHA:
            return f"no edge: {figures}"
        return f"unlikely to be chance alone: {figures}; what costs, size and the next years do is another question"


def significance(trades: Trades, *, first: int, tried: int = 1, draws: int = DRAWS) -> Verdict:
    """first: the first candle on which the rule can decide; random entries are drawn from there on."""
    require(len(trades.opened) > 0, "at least one trade is needed", 0, "significance")
    close = trades.close
    fee, worse = trades.account.costs.shares
    lengths = trades.closed - trades.opened
    rests = np.diff(np.concatenate([[first], trades.opened])) - np.concatenate([[0], lengths[:-1]])
    spare = len(close) - 1 - int(trades.closed[-1])
    random = np.random.default_rng(_SEED)
    own = _mean_gain(trades.side, trades.prices, fee, worse)
    means = np.empty(draws)
    places = np.arange(len(lengths))
    for draw in range(draws):
        order = random.permutation(places)
        gaps = random.permutation(np.append(rests, spare))[:-1]
        opened = first + np.cumsum(gaps) + np.concatenate([[0], np.cumsum(lengths[order])[:-1]])
        closed = np.minimum(opened + lengths[order], len(close) - 1)
        prices = np.column_stack([close[opened], close[closed]])
        means[draw] = _mean_gain(trades.side[order], prices, fee, worse)
    p = (1 + int((means >= own).sum())) / (draws + 1)
    return Verdict(
        trades=len(lengths),
        mean_gain_pct=100 * float(own),
        random_mean_pct=100 * float(means.mean()),
        random_high_pct=100 * float(np.percentile(means, 95)),
        p=p,
        tried=tried,
        corrected=min(1.0, p * tried),
    )


def _mean_gain(side: IntArray, prices: FloatArray, fee: float, worse: float) -> float:
    """Mean return of a unit position, costs paid."""
    bought = prices[:, 0] * (1 + side * worse)
    sold = prices[:, 1] * (1 - side * worse)
    gains = (side * (sold - bought) - fee * (bought + sold)) / prices[:, 0]
    return float(gains.mean())
