"""Strategies: a window of closed candles in, an outcome with named conditions out. Pure; one file per strategy."""
