"""The pure part: candles and daily rows in, score and regime out."""
