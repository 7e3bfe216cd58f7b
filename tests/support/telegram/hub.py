"""One server's parts put together: world, API, faults, rate limits, and the journal of calls."""

import threading
import time
from pathlib import Path
from typing import IO, Any, Self

import msgspec

from tests.support.telegram.content import Request
from tests.support.telegram.errors import ApiError, too_many_requests
from tests.support.telegram.faults import AFTER_THE_EFFECT, FaultPlan, FaultRule, RateLimiter, RateLimits
from tests.support.telegram.inspection import StateView
from tests.support.telegram.methods import BotApi
from tests.support.telegram.records import Call
from tests.support.telegram.state import World

# Edits count against Telegram's limits as messages do.
_LIMITED = frozenset(
    {"sendmessage", "sendphoto", "editmessagetext", "editmessagecaption", "editmessagemedia", "editmessagereplymarkup"}
)


class FirstByte(msgspec.Struct, frozen=True):
    """When a request's first byte arrived, on both clocks."""

    monotonic_ns: int
    wall_ns: int

    @classmethod
    def now(cls) -> Self:
        return cls(time.monotonic_ns(), time.time_ns())


class Journal:
    """Every call in order; the accepted ones also as JSON lines in a file, and their photos beside it under
    `<file>.photos/`. A line is flushed when the effect took place, before the answer, so its `answer` is empty and
    `fault` says what became of it. A file that exists is continued."""

    def __init__(self, path: Path | None) -> None:
        self._calls: list[Call] = []
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._photos: Path | None = None
        if path is not None:
            self._file = path.open("ab")
            self._photos = path.with_name(f"{path.name}.photos")

    def begin(self, call: Call, result: Any) -> int:
        """Adds a call whose answer is still to come; returns its sequence number."""
        with self._lock:
            call = msgspec.structs.replace(call, sequence=len(self._calls))
            self._calls.append(call)
            if self._file is not None and call.accepted:
                line = {**msgspec.to_builtins(call), "result": result}
                self._file.write(msgspec.json.encode(line) + b"\n")
                self._file.flush()
            return call.sequence

    def finish(self, sequence: int, answer: str) -> None:
        with self._lock:
            done = msgspec.structs.replace(self._calls[sequence], answer=answer, done_monotonic_ns=time.monotonic_ns())
            self._calls[sequence] = done

    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    def keep_photo(self, name: str, content: bytes) -> None:
        if self._photos is not None:
            self._photos.mkdir(exist_ok=True)
            (self._photos / name).write_bytes(content)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class Outcome(msgspec.Struct, frozen=True):
    """What execute() decided: a result or a refusal, the fault the transport still has to act out, the journal's row."""

    result: Any
    refusal: ApiError | None
    fault: FaultRule | None
    sequence: int


class Hub:
    """Executes calls; the transport (web.py) turns its answers and faults into bytes."""

    def __init__(self, *, token: str, username: str, seed: int, journal_path: Path | None) -> None:
        self.token = token
        bot_id = token.partition(":")[0]
        if not bot_id.isdigit():
            raise ValueError(f"a token reads <digits>:<text>, was {token!r}")
        self.world = World(bot_id=int(bot_id), username=username)
        self.api = BotApi(self.world)
        self.faults = FaultPlan(seed)
        self.journal = Journal(journal_path)
        self._limiter: RateLimiter | None = None

    def set_rate_limits(self, limits: RateLimits | None) -> None:
        """Enforces limits from now on, with empty windows; None lifts them."""
        self._limiter = RateLimiter(limits) if limits else None

    def chat_id_of(self, request: Request) -> int | None:
        """The numeric chat of a call, None where it names none that is known."""
        try:
            return int(self.world.find_chat(request.text("chat_id"))["id"])
        except ApiError:
            return None

    def execute(self, method: str, request: Request, fault: FaultRule | None, first_byte: FirstByte) -> Outcome:
        """Runs one call under its fault and journals it; `slow_before` has been waited for by the transport."""
        chat_id = self.chat_id_of(request)
        result: Any = None
        refusal: ApiError | None = None
        try:
            refuse_by(fault)
            if fault is None or fault.kind not in {"error_before", "reset_before"}:
                self._admit(method, chat_id)
                result = self.api.call(method, request)
        except ApiError as error:
            refusal = error
        accepted = refusal is None and result is not None
        if fault is not None and refusal is not None and fault.kind in AFTER_THE_EFFECT:
            # The effect was refused, so there is nothing whose answer could get lost: the client learns the refusal.
            fault = None
        call = Call(
            sequence=0,
            method=method,
            chat_id=chat_id,
            message_id=result.get("message_id") if isinstance(result, dict) else None,
            parameters=request.parameters,
            accepted=accepted,
            answer="",
            description=refusal.description if refusal else "",
            fault=fault.kind if fault else "",
            first_byte_monotonic_ns=first_byte.monotonic_ns,
            first_byte_wall_ns=first_byte.wall_ns,
            done_monotonic_ns=0,
        )
        if accepted and isinstance(result, dict) and request.files:
            self._keep_photo(result["photo"][0]["file_id"])
        return Outcome(result=result, refusal=refusal, fault=fault, sequence=self.journal.begin(call, result))

    def _admit(self, method: str, chat_id: int | None) -> None:
        if self._limiter is not None and chat_id is not None and method.lower() in _LIMITED:
            self._limiter.admit(chat_id, time.monotonic_ns())

    def _keep_photo(self, file_id: str) -> None:
        photo = self.world.photos[file_id]
        self.journal.keep_photo(f"{photo.sha256}.{photo.format}", photo.content)

    def state(self) -> StateView:
        """A snapshot: the lists are copies, the records are the server's own."""
        with self.world.lock:
            return StateView(
                messages=[msgspec.structs.replace(m, history=list(m.history)) for m in self.world.messages.values()],
                calls=self.journal.calls(),
                callback_answers=dict(self.world.callback_answers),
                chat_actions=list(self.world.chat_actions),
                commands=list(self.world.commands),
                pending_update_count=self.world.pending_update_count(),
                fault_rules=self.faults.rules(),
                bot_id=self.world.bot_id,
            )


def refuse_by(fault: FaultRule | None) -> None:
    """Raises the refusal a fault stands for; passes where it stands for none."""
    if fault is None:
        return
    if fault.kind == "too_many_requests":
        raise too_many_requests(fault.retry_after_s)
    if fault.kind == "refuse":
        raise ApiError(fault.status, fault.description or "Internal Server Error")
