"""Exact decimal quantities: scaled integers inside, plain decimal text outside."""

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow
from typing import Final

from shared.domain.errors import InvalidValueError

# Wide enough for a week of 64-bit price x 64-bit quantity sums; anything wider is an error, never a rounded figure.
EXACT: Final = Context(prec=100, traps=[Inexact, InvalidOperation, Overflow, DivisionByZero])
SCALE_MAX: Final = 18
_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)


def decimal_of_units(units: int, scale: int) -> Decimal:
    """The exact decimal units x 10^-scale, trailing zeros removed."""
    if not units:
        return _ZERO
    while scale > 0 and not units % 10:  # cheaper on integers than to normalize the decimal
        units //= 10
        scale -= 1
    return EXACT.scaleb(Decimal(units), -scale)


def units_of_text(text: str, scale: int) -> int:
    """The decimal text as an integer number of 10^-scale steps.

    Raises InvalidValueError where the text is no plain number or is finer than the scale.
    """
    try:
        value = EXACT.scaleb(EXACT.create_decimal(text), scale)
        units = int(value)
    except (ArithmeticError, ValueError, OverflowError) as error:
        raise InvalidValueError(f"a decimal number is required, was {text!r} (decimals)") from error
    if units != value:
        raise InvalidValueError(f"at most {scale} decimals are allowed, was {text!r} (decimals)")
    return units


def scale_of_text(text: str) -> int:
    """How many decimals the number needs: '0.10' -> 1, '5' -> 0, '1e-3' -> 3."""
    try:
        exponent = EXACT.create_decimal(text).normalize(EXACT).as_tuple().exponent
    except ArithmeticError as error:
        raise InvalidValueError(f"a decimal number is required, was {text!r} (decimals)") from error
    if not isinstance(exponent, int):
        raise InvalidValueError(f"a finite decimal number is required, was {text!r} (decimals)")
    return max(0, -exponent)


def exact_sum(values: list[Decimal]) -> Decimal:
    """Sum without rounding, whatever the order; raises decimal.Inexact beyond 100 digits."""
    total, add = _ZERO, EXACT.add
    for value in values:
        total = add(total, value)
    return _without_zeros(total)


def _without_zeros(value: Decimal) -> Decimal:
    """The same number with no trailing fractional zeros and no positive exponent: 12.50 -> 12.5, 1.2E+3 -> 1200."""
    if not value:
        return _ZERO
    short = EXACT.normalize(value)
    return EXACT.quantize(short, _ONE) if short == short.to_integral_value() else short


def plain_text(value: Decimal | float) -> str:
    """Plain decimal text without exponent and trailing zeros; a float prints the digits that round-trip."""
    text = format(value if isinstance(value, Decimal) else Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
