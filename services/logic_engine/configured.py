"""From config/tracker.yaml to active strategies."""

from shared.deciding.active import ActiveStrategy, active_strategy
from shared.runtime.config import StrategyConfig, TrackerConfig


def active_strategies(config: TrackerConfig) -> tuple[ActiveStrategy, ...]:
    """Every enabled strategy of the file, checked; raises InvalidValueError naming a wrong name or parameter."""
    return tuple(configured(item) for item in config.enabled_strategies)


def configured(item: StrategyConfig) -> ActiveStrategy:
    """One strategy of the file, checked."""
    return active_strategy(
        item.name,
        item.timeframe,
        item.parameters,
        kind=item.kind,
        by_symbol=item.symbols,
        max_age_candles=item.max_age_candles,
        on_opposite=item.on_opposite,
    )


def markets(config: TrackerConfig) -> list[tuple[str, str]]:
    """Every (exchange, symbol) of the file."""
    return [(exchange, symbol) for exchange, venue in config.venues.items() for symbol in venue.symbols]
