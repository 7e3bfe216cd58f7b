"""The macro engine: Kraken candles to each pair's bias, DXY, dominance and the FOMC calendar to the market's regime."""
