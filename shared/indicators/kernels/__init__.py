"""Indicator kernels: arithmetic on float64 arrays, nothing checked (see `checked`), nothing raised. One file per family.

Every kernel `x(inputs..., parameters..., outputs...)` fills its outputs, one value per candle, NaN while warming up.
`x_advance` does the same from a state that the caller keeps: called with one more candle it gives the next value at O(1)
(amortised where a window is read), so that a stream and a series are the same code. A zeroed state is a fresh start.
A NaN among the inputs makes every value NaN that depends on it: for a recursive indicator, all that follow.
Import from the families: a service loads the kernels it uses, and no others.
"""
