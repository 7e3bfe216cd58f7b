"""The pure part of the simulator: prices, trades, klines, frames and faults; no socket, no clock."""
