"""Price levels: swing points."""

from typing import TYPE_CHECKING

from shared.indicators.compiled import kernel

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]


@kernel("boolean(float64[::1], int64, int64, float64)")
def is_swing(values: "FloatArray", index: int, bars: int, sign: float) -> bool:
    """Whether values[index] is a confirmed swing: a low with sign 1, a high with sign -1. See checked.swing_lows."""
    if index < bars or index + bars >= values.shape[0]:
        return False
    here = sign * values[index]
    for j in range(1, bars + 1):  # noqa: SIM110 - a generator does not compile
        # Strict to the left only: of a flat bottom exactly the first bar counts.
        if not (here < sign * values[index - j] and here <= sign * values[index + j]):
            return False
    return True
