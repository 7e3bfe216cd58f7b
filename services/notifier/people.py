"""Who asks, from where, and whether they may: roles, the audit of what changes state, and the pace of what is free to ask."""

from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import msgspec

from services.notifier.chats import Chats
from services.notifier.core.chats import ChatState
from services.notifier.core.roles import Role, Roles
from services.notifier.core.voice import Voice
from services.notifier.state import AuditEntry, NotifierState


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One press or command. chat: as configured, or the plain id of a chat that is not; at_ms: wall clock.

    at_ms is that of the update where it has one, so that handling it again after a kill does not add to the audit.
    """

    update_id: int
    chat: str
    is_configured: bool
    message_id: int | None
    user_id: int
    user_name: str
    at_ms: int


class Pace:
    """At most so many questions of one person in so long; everything in memory, since a restart harms nobody."""

    def __init__(self, *, questions_max: int, seconds: float) -> None:
        self._span_ms = round(seconds * 1000)
        self._asked: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=questions_max))

    def wait_ms(self, user_id: int, now_ms: int) -> int:
        """How long this person has to wait; 0 counts the question as asked."""
        asked = self._asked[user_id]
        if len(asked) == asked.maxlen and asked[0] + self._span_ms > now_ms:
            return asked[0] + self._span_ms - now_ms
        asked.append(now_ms)
        return 0


class People:
    """Roles and the audit, over the notifier's state."""

    def __init__(self, roles: Roles, chats: Chats, state: NotifierState, pace: Pace, log: Any) -> None:
        self.roles = roles
        self.chats = chats
        self.state = state
        self.pace = pace
        self._log = log

    def voice(self, asked: Asked) -> Voice:
        """How the chat is spoken to."""
        return self.chats.voice(asked.chat)

    def role(self, asked: Asked) -> Role:
        """What the person may do."""
        return self.roles.of(asked.user_id)

    async def change(
        self, asked: Asked, command: str, chat: str, change: Callable[[ChatState], ChatState]
    ) -> tuple[ChatState, ChatState]:
        """Change a chat's state and write who did it; the line is there before the person is answered."""
        before, after = await self.chats.change(chat, change)
        texts = [msgspec.json.encode(state).decode() for state in (before, after)]
        await self.note(asked, command, "done", before=texts[0], after=texts[1])
        return before, after

    async def note(self, asked: Asked, command: str, outcome: str, *, before: str = "", after: str = "") -> None:
        """One line of the audit, for what was done and for what was refused."""
        entry = AuditEntry(
            at_ms=asked.at_ms,
            update_id=asked.update_id,
            chat=asked.chat,
            user_id=asked.user_id,
            user_name=asked.user_name,
            role=self.role(asked).key,
            command=command,
            outcome=outcome,
            before=before,
            after=after,
        )
        await self.state.append_audit(entry)
        self._log.info("audited", command=command, user=asked.user_id, chat=asked.chat, outcome=outcome)
