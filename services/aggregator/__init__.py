"""Raw trades to tape to candles of every timeframe to candles-closed."""
