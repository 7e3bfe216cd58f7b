"""What a group of outbox rows says in its chat."""

from collections.abc import Mapping

from services.notifier.chats import Chats
from services.notifier.core.callbacks import NO_CHOICES, signal_keyboard
from services.notifier.core.event_texts import alerts_text, digest_text, system_text
from services.notifier.core.living_message import Kind, SignalStep
from services.notifier.core.macro_texts import bias_text, told_biases
from services.notifier.core.outbox import Group
from services.notifier.core.texts import exit_notice, signal_caption, signal_text
from services.notifier.core.voice import Voice
from services.notifier.messengers.port import Post
from shared.domain.events import AlertRaised, SystemEvent
from shared.domain.outbox import MessageRecord
from shared.domain.signals import Signal


def signal_post(
    voice: Voice,
    chat: str,
    signal: Signal,
    *,
    notes: tuple[tuple[int, str], ...],
    repeats: int,
    has_picture: bool,
    choices: Mapping[str, int] = NO_CHOICES,
) -> Post:
    """The living message as it reads now. choices: how many took or skip it, for its buttons."""
    return Post(
        chat=chat,
        text=signal_text(voice, signal, notes=notes, repeats=repeats),
        caption=signal_caption(voice, signal, notes=notes, repeats=repeats),
        signal=signal,
        keyboard=signal_keyboard(voice.words, signal, choices),
        has_picture=has_picture,
    )


def step_post(chats: Chats, chat: str, step: SignalStep, choices: Mapping[str, int] = NO_CHOICES) -> Post:
    """The message, or the reply that tells its exit."""
    voice = chats.voice(chat)
    if step.kind is Kind.NOTICE:
        text = exit_notice(voice, step.signal, repeats=step.repeats)
        return Post(chat=chat, text=text, signal=step.signal, reply_to=step.message_id)
    return signal_post(
        voice,
        chat,
        step.signal,
        notes=step.notes,
        repeats=step.repeats,
        has_picture=step.has_picture,
        choices=choices,
    )


def record_post(chats: Chats, record: MessageRecord, choices: Mapping[str, int] = NO_CHOICES) -> Post:
    """The message as it was recorded, for a picture that joins it."""
    return signal_post(
        chats.voice(record.chat),
        record.chat,
        record.signal,
        notes=record.notes,
        repeats=record.repeats,
        has_picture=bool(record.picture),
        choices=choices,
    )


def group_post(chats: Chats, group: Group) -> Post:
    """Everything that is no signal's message: alerts of a pair, reports of a kind, the bias, a digest."""
    voice = chats.voice(group.chat)
    events = [row.event for row in group.rows]
    repeats = max(row.repeats for row in group.rows)
    if group.is_digest:
        text = digest_text(voice, events, since_ms=group.queued_at_ms, repeats=repeats)
    elif alerts := [event for event in events if isinstance(event, AlertRaised)]:
        text = alerts_text(voice, alerts, repeats=repeats)
    elif reports := [event for event in events if isinstance(event, SystemEvent)]:
        text = system_text(voice, reports, repeats=repeats)
    elif told := told_biases(group.rows):
        text = bias_text(voice, told, repeats=repeats)
    else:
        raise TypeError(f"{type(events[0]).__name__} has no message of its own (outbox row {group.rows[0].event_id})")
    return Post(chat=group.chat, text=text, signal=None)
