"""What sending works with, handed to each of its parts as one, and whom it tells of what happens."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from services.notifier.chats import Chats
from services.notifier.core.outbox import Group
from services.notifier.limits import SenderLimits
from services.notifier.messengers.port import Messenger
from shared.cache.port import Cache
from shared.domain.outbox import OutboxRow
from shared.domain.signals import Signal
from shared.runtime.clock import Clock
from shared.runtime.metrics import Metrics
from shared.store.port import Store

ShowSignal = Callable[[str, Signal, int], Awaitable[None]]  # chat, signal, message id: the picture that goes with it
ShowBias = Callable[[Group, int], Awaitable[None]]  # what was told, message id: the picture that goes with it
OnRefused = Callable[[OutboxRow, str], Awaitable[None]]


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """The world as the sender sees it. cache: None keeps no message ids."""

    store: Store
    cache: Cache | None
    messenger: Messenger
    clock: Clock
    chats: Chats
    limits: SenderLimits
    log: Any
    metrics: Metrics


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told; None: nobody is.

    on_lead:  once, when the lease was got for the first time and nothing was claimed yet.
    on_leave: once after that, when it will be given up; returns rows that are to go out before, within `farewell_ms`.
    """

    show_signal: ShowSignal | None = None
    show_bias: ShowBias | None = None
    on_refused: OnRefused | None = None
    on_lead: Callable[[], Awaitable[None]] | None = None
    on_leave: Callable[[], Awaitable[Sequence[OutboxRow]]] | None = None
