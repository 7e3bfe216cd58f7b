"""The logic engine: closed candles to decisions, decisions to signals, and each signal followed to its end."""
