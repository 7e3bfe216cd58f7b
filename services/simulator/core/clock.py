"""Market time as a function of wall time; the reading of the wall clock itself stands in the shell."""

import msgspec


class MarketClock(msgspec.Struct, frozen=True, kw_only=True):
    """market_ms = origin_market_ms + (wall_ms - origin_wall_ms) * speed. Same origin and speed, same market time."""

    origin_wall_ms: int
    origin_market_ms: int
    speed: float

    def market_ms(self, wall_ms: float) -> int:
        """Market time at a wall time, both milliseconds since 1970 UTC."""
        return self.origin_market_ms + int((wall_ms - self.origin_wall_ms) * self.speed)
