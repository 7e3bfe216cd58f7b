"""What each session asserts, on the store: one row per session, written by the active aggregator only."""

from collections.abc import Sequence
from typing import Final

import msgspec

from shared.domain.coverage import SessionCoverage
from shared.domain.errors import FencedError, TransientError
from shared.store.layout import LAYOUT, payload
from shared.store.port import Outcome, Row, Store, Write, key_of

TABLE: Final = "market-coverage"
_EVERYTHING: Final = ("", "\x7f")
_ATTEMPTS: Final = 5
_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(SessionCoverage)


class CoverageStore:
    """Reads and writes coverage rows, exchange#<session start>#<session>.

    A row is read, grown and written back, so each write names the revision it grew from: where another owner wrote in
    between, both are merged and nothing acknowledged is forgotten.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revisions: dict[str, int] = {}

    async def load(self) -> list[SessionCoverage]:
        """Every session within the table's retention, oldest first per exchange."""
        rows = await self._store.scan(TABLE, *_EVERYTHING)
        self._revisions = {row.key: row.revision for row in rows}
        return [_decode(row) for row in rows]

    def write_of(self, session: SessionCoverage, *, fence: int | None) -> Write:
        """The conditional write of the session's row; hand its outcome to `settle`."""
        key = key_of(session.exchange, session.session_started_at_ms, session.session)
        value = LAYOUT + _ENCODER.encode(session)
        return Write(table=TABLE, key=key, value=value, expected_revision=self._revisions.get(key, 0), fence=fence)

    async def settle(
        self, sessions: Sequence[SessionCoverage], outcomes: Sequence[Outcome], *, fence: int | None
    ) -> list[SessionCoverage]:
        """Finish what `write_of` began: merge and retry rows another owner changed. Returns the rows as stored.

        Raises FencedError where a newer owner wrote a row, TransientError where one keeps changing.
        """
        return [
            await self._settled(session, outcome, fence) for session, outcome in zip(sessions, outcomes, strict=True)
        ]

    async def _settled(self, session: SessionCoverage, outcome: Outcome, fence: int | None) -> SessionCoverage:
        key = key_of(session.exchange, session.session_started_at_ms, session.session)
        for _ in range(_ATTEMPTS):
            if outcome is Outcome.WRITTEN:
                self._revisions[key] = self._revisions.get(key, 0) + 1
                return session
            if outcome is Outcome.FENCED:
                raise FencedError(f"a newer aggregator wrote {TABLE} (fence {fence} is stale)")
            row = await self._store.get(TABLE, key)
            self._revisions[key] = row.revision if row else 0
            session = session.merged(_decode(row)) if row else session
            [outcome] = await self._store.write([self.write_of(session, fence=fence)])
        raise TransientError(f"coverage of session {session.session} kept changing during {_ATTEMPTS} attempts")


def _decode(row: Row) -> SessionCoverage:
    return _DECODER.decode(payload(TABLE, row))
