"""Errors whose class says what to do next."""


class PermanentError(ValueError):
    """Will never become valid: dead-letter or refuse the item, do not retry."""


class InvalidValueError(PermanentError):
    """A field breaks its rule; the text names the rule, the value and the place."""


class InvalidTradeError(InvalidValueError):
    """A trade breaks a rule; the text names symbol and trade id."""


class TransientError(RuntimeError):
    """May succeed later: leave the message unacknowledged and try again with backoff."""


class FencedError(TransientError):
    """A newer owner has taken over; this writer must stop writing."""
