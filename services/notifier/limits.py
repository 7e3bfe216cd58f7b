"""How the sender behaves; every value is a setting."""

import msgspec

from services.notifier.core import outbox as rules
from services.notifier.core.rates import RateLimits


class SenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    in_flight_per_chat: sends of one chat at a time (1: strictly one after the other).
    lease_ttl_ms:       after a kill, how long nobody sends. scan_ms: how often open rows are looked for in the store.
    message_cache_ttl_ms: how long the cache keeps message ids.
    backoff_first_ms, backoff_max_ms: the wait after a send that failed or may have failed; it doubles with each attempt.
    progress_pause_ms:  at most one progress edit of a message in so long.
    system_pause_ms:    at most one message about one kind of system event in so long; what comes meanwhile joins the next.
                        Of starts and stops at most two.
    alert_gather_ms:    how long alerts of a pair wait for one another.
    farewell_ms:        how long a sender that leaves waits for its last notice to go out.
    picture_owed_ms:    how long after its text a picture that a kill prevented still joins its message; 0: never.
    rates:              the messenger's limits; None where it has none.
    """

    in_flight_per_chat: int = 16
    lease_ttl_ms: int = 6_000
    scan_ms: int = 5_000
    message_cache_ttl_ms: int = 5 * 3_600_000
    backoff_first_ms: int = rules.BACKOFF_FIRST_MS
    backoff_max_ms: int = rules.BACKOFF_MAX_MS
    progress_pause_ms: int = 300_000
    system_pause_ms: int = 300_000
    alert_gather_ms: int = 500
    farewell_ms: int = 3_000
    picture_owed_ms: int = 24 * 3_600_000
    rates: RateLimits | None = None
