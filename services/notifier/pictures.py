"""Pictures that join messages: text first, picture second, as an edit of the same message (editMessageMedia)."""

from typing import Final

import msgspec

from services.notifier.composing import record_post
from services.notifier.core.book import OutboxBook
from services.notifier.core.living_message import stage_of
from services.notifier.core.outbox import Group
from services.notifier.means import Means
from services.notifier.messengers.port import (
    NotDeliveredError,
    OutcomeUnknownError,
    Post,
    RefusedError,
    RetryLaterError,
)
from services.notifier.owed_pictures import OwedPictures
from shared.domain.outbox import Priority
from shared.runtime.crash import crash_point
from shared.store.messages import MessageStore, message_write
from shared.store.port import Outcome

_TRIES_MAX: Final = 3
_RETRY_MS: Final = 5_000


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A chart for a message that is out.

    subject: the signal of a living message, whose record says how it reads now; stage: entry or exit, as the chart shows it.
    post, message_id: of a message that never changes and has no record (the bias); subject: then the id of that message.
    """

    chat: str
    subject: str
    stage: str
    content: bytes
    post: Post | None = None
    message_id: int = 0
    tries: int = 0
    not_before_ms: int = 0

    @property
    def group(self) -> Group:
        """What is on its way with it, so that no text of the same message is."""
        return _PictureGroup(chat=self.chat, subject=self.subject, rows=())


class _PictureGroup(Group, frozen=True, kw_only=True):
    @property
    def priority(self) -> Priority:
        return Priority.INFORMATION


class Pictures:
    """Waiting pictures, the newest of each message; a kill forgets them, and the next sender finds what is owed."""

    def __init__(self, means: Means, book: OutboxBook, owed: OwedPictures) -> None:
        self._means = means
        self._messages = MessageStore(means.store)
        self._book = book
        self._owed = owed
        self._waiting: dict[tuple[str, str], Picture] = {}

    @property
    def waiting(self) -> int:
        """How many have not gone yet."""
        return len(self._waiting)

    def offer(self, picture: Picture) -> None:
        """It goes when nothing more urgent does."""
        self._waiting[picture.chat, picture.subject] = picture

    def ready(self, now_ms: int) -> list[Picture]:
        """What may go now, counted against the budget and marked as on its way; at most one per chat."""
        found: dict[str, Picture] = {}
        for picture in self._waiting.values():
            if (
                picture.chat not in found
                and picture.not_before_ms <= now_ms
                and self._book.is_idle(picture.chat, now_ms)
            ):
                found[picture.chat] = picture
        for picture in found.values():
            del self._waiting[picture.chat, picture.subject]
            self._book.start(picture.group, now_ms)
        return list(found.values())

    def next_time_ms(self, now_ms: int) -> int | None:
        """When to look again; None while none waits."""
        times = [
            max(picture.not_before_ms, self._book.budget.next_ms(picture.chat)) for picture in self._waiting.values()
        ]
        return min((time for time in times if time > now_ms), default=None)

    async def show(self, picture: Picture, fence: int) -> None:
        """Put it into its message and record that; whatever goes wrong, the text stands."""
        log = self._means.log.bind(chat=picture.chat, subject=picture.subject)
        try:
            if picture.post is not None:
                await self._set(picture, picture.post, picture.message_id)
                await self._paid(picture)
            elif not await self._show_stage(picture, fence):
                return
            log.info("picture_shown", stage=picture.stage, bytes=len(picture.content))
        except RetryLaterError as error:
            rates = self._means.limits.rates
            wait_ms = rates.wait_ms(error.seconds) if rates else round(error.seconds * 1000)
            self._book.pause(picture.chat, self._means.clock.wall_ms() + wait_ms)
            self._again(picture, wait_ms, str(error))
        except (NotDeliveredError, OutcomeUnknownError) as error:  # an edit shows the same however often it is made
            self._again(picture, _RETRY_MS, str(error))
        except RefusedError as error:
            log.warning("picture_refused", reason=str(error))
            await self._paid(picture)
        except Exception:  # the text is out; a picture must not stop what follows
            log.exception("picture_failed")
        finally:
            self._book.finish(picture.group)

    async def _show_stage(self, picture: Picture, fence: int) -> bool:
        """Whether it was shown: a message that shows another stage meanwhile keeps what it shows."""
        stored = await self._messages.get(picture.chat, picture.subject)
        record = stored.record
        if record is None or picture.stage != stage_of(closed=record.signal.exit is not None):
            return False
        if record.picture == picture.stage:  # it was offered twice
            await self._paid(picture)
            return False
        post = record_post(self._means.chats, record, await self._means.chats.choices(picture.subject))
        await self._set(picture, post, record.message_id)
        shown = msgspec.structs.replace(record, picture=picture.stage)
        crash_point("notifier.picture_set")
        written = await self._means.store.write([message_write(shown, expected_revision=stored.revision, fence=fence)])
        if written == [Outcome.WRITTEN]:
            await self._paid(picture)
        return True

    async def _set(self, picture: Picture, post: Post, message_id: int) -> None:
        try:
            await self._means.messenger.set_picture(post, picture.content, message_id)
        finally:
            self._book.answered(picture.group, self._means.clock.wall_ms())

    async def _paid(self, picture: Picture) -> None:
        if picture.post is None:
            await self._owed.paid(picture.chat, picture.subject)
        else:
            await self._owed.paid_bias(picture.chat, picture.message_id)

    def _again(self, picture: Picture, wait_ms: int, reason: str) -> None:
        if picture.tries + 1 >= _TRIES_MAX or (picture.chat, picture.subject) in self._waiting:
            self._means.log.warning("picture_given_up", chat=picture.chat, subject=picture.subject, reason=reason)
            return
        later = self._means.clock.wall_ms() + wait_ms
        self.offer(msgspec.structs.replace(picture, tries=picture.tries + 1, not_before_ms=later))
