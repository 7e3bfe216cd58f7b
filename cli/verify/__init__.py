"""`cst verify`: how good the candles are, by tape and klines or by what is stored."""
