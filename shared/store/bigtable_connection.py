"""The connection to Bigtable: one client, its tables, a deadline on every call, every error as one line.

BIGTABLE_EMULATOR_HOST decides whom the client dials; with it no Google host is ever asked for anything.
"""

import asyncio
import os
import time
import warnings
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from google.api_core import exceptions as api_errors
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.cloud.bigtable.data import BigtableDataClientAsync, TableAsync
from grpc import RpcError
from grpc.aio import UsageError

from shared.domain.errors import PermanentError, TransientError

EMULATOR_VARIABLE: Final = "BIGTABLE_EMULATOR_HOST"
_RENEW_SECONDS_MIN: Final = 1.0  # between two new channels
_PAUSE_SECONDS_FIRST: Final = 0.02
_PAUSE_SECONDS_MAX: Final = 0.5
_TEXT_MAX: Final = 300
_ATTEMPT_SHARE: Final = 0.5  # of the deadline, so that a lost request is asked once more
_ERRORS: Final = (
    api_errors.GoogleAPIError,
    GoogleAuthError,
    RpcError,
    UsageError,
    ExceptionGroup,
    OSError,  # TimeoutError among them
    RuntimeError,
)
_UNANSWERED: Final = (
    api_errors.ServiceUnavailable,
    api_errors.DeadlineExceeded,
    api_errors.InternalServerError,  # a stream that was reset
    api_errors.Aborted,
    api_errors.Cancelled,
    asyncio.CancelledError,
    TimeoutError,
)
ResultT = TypeVar("ResultT")


class RefusedError(TransientError):
    """Refused although this connection's other calls were answered: a token has ended, or a right on the table is missing."""


class BigtableConnection:
    """Calls on tables of one instance. Made inside a running event loop; `deadline_seconds` holds for every call.

    A table that is missing and credentials that are refused raise PermanentError from the start on (nobody set them up),
    but TransientError where they worked before (an emulator was started anew, a token expired), so that no message is
    given up over them.
    """

    def __init__(self, project: str, instance: str, *, deadline_seconds: float) -> None:
        self._project = project
        self._instance = instance
        self._deadline_seconds = deadline_seconds
        self._client = _new_client(project)
        self._renewed_at = time.monotonic()
        self._tables: dict[str, TableAsync] = {}
        self._answered: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_emulator(self) -> bool:
        """Whether an emulator answers, which collects no garbage."""
        return bool(os.environ.get(EMULATOR_VARIABLE))

    async def call(
        self, table: str, ask: Callable[[TableAsync], Awaitable[ResultT]], *, repeatable: bool = True
    ) -> ResultT:
        """Ask the table, again and again while it is not reachable, until the deadline.

        repeatable: asking twice does no harm. False: asked again only where the request certainly was not sent.
        Raises TransientError or PermanentError, never anything of Google's.
        """
        deadline = asyncio.get_running_loop().time() + self._deadline_seconds
        pause_seconds = _PAUSE_SECONDS_FIRST
        while True:
            asked = self._client
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await ask(self._table(table))
            except asyncio.CancelledError as error:
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                failure: BaseException = error  # the channel was closed under the call
            except _ERRORS as error:
                failure = error
            else:
                self._answered.add(table)
                return answer
            self._renew_after(failure, asked)
            left_seconds = deadline - asyncio.get_running_loop().time()
            again = _unreached(failure) or (repeatable and _unanswered(failure))
            if not again or left_seconds <= pause_seconds:
                raise self._translated(table, failure) from failure
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(_PAUSE_SECONDS_MAX, pause_seconds * 2)

    async def close(self) -> None:
        """Ends the client and those it replaced; bounded in time."""
        await _close(self._client)
        if self._closing:
            await asyncio.wait(self._closing, timeout=2)

    def _table(self, name: str) -> TableAsync:
        table = self._tables.get(name)
        if table is None:
            # One attempt each: trying again, over a new channel where needed, is decided in `call`.
            seconds = self._deadline_seconds * _ATTEMPT_SHARE
            table = self._tables[name] = self._client.get_table(
                self._instance,
                name,
                default_read_rows_operation_timeout=seconds,
                default_read_rows_attempt_timeout=seconds,
                default_read_rows_retryable_errors=(),
                default_mutate_rows_operation_timeout=seconds,
                default_mutate_rows_attempt_timeout=seconds,
                default_mutate_rows_retryable_errors=(),
                default_operation_timeout=seconds,
                default_attempt_timeout=seconds,
                default_retryable_errors=(),
            )
        return table

    def _translated(self, table: str, error: BaseException) -> Exception:
        causes = _causes(error)
        text = " ".join(str(causes[-1]).split())[:_TEXT_MAX] or type(causes[-1]).__name__
        place = f"Bigtable {self._project}/{self._instance}, table {table}"
        if _is_any(causes, api_errors.NotFound) or "unknown family" in text:
            hint = "`cst infra create` makes what infra/topology.yaml declares"
            if table in self._answered:
                return TransientError(f"the table is gone: {text} ({place}); {hint}")
            return PermanentError(f"no such table: {text} ({place}); {hint}")
        if _is_any(causes, api_errors.Forbidden, api_errors.Unauthorized, RefreshError):
            kind = RefusedError if self._answered else PermanentError
            return kind(f"Bigtable refuses these credentials: {text} ({place})")
        if _is_any(causes, api_errors.InvalidArgument):
            return PermanentError(f"Bigtable refuses the request: {text} ({place})")
        if _unreached(error) or _unanswered(error):
            return TransientError(f"Bigtable did not answer within {self._deadline_seconds:g} s: {text} ({place})")
        return TransientError(f"Bigtable failed: {text} ({place})")

    def _renew_after(self, failure: BaseException, asked: BigtableDataClientAsync) -> None:
        """A new channel: an old one waits up to two minutes before it dials again, however soon the server is back."""
        young = time.monotonic() - self._renewed_at < _RENEW_SECONDS_MIN
        if asked is not self._client or young or not (_unreached(failure) or _unanswered(failure)):
            return
        self._renewed_at = time.monotonic()
        self._client, self._tables = _new_client(self._project), {}
        task = asyncio.ensure_future(_close(asked))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _new_client(project: str) -> BigtableDataClientAsync:
    if not os.environ.get(EMULATOR_VARIABLE):
        os.environ.pop(EMULATOR_VARIABLE, None)  # the client would take an empty one for an emulator's address
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that it is an emulator is what we asked for
        try:
            client: BigtableDataClientAsync = BigtableDataClientAsync(project=project)
        except GoogleAuthError as error:
            raise PermanentError(f"no credentials for Bigtable: {' '.join(str(error).split())}") from error
        return client


async def _close(client: BigtableDataClientAsync) -> None:
    await client.close(timeout=1)


def _unreached(error: BaseException) -> bool:
    """Whether the request certainly never left: nobody to connect to, or a channel that was already closed."""
    root = _causes(error)[-1]
    refused = isinstance(root, api_errors.ServiceUnavailable) and "failed to connect" in str(root)
    return refused or isinstance(root, UsageError)


def _unanswered(error: BaseException) -> bool:
    """Whether nobody knows what became of the request."""
    return isinstance(_causes(error)[-1], _UNANSWERED)


def _is_any(causes: Sequence[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what caused it, the root last; of a group the first member."""
    causes = [error]
    while len(causes) < 10:  # noqa: PLR2004 - against circles
        last = causes[-1]
        inner = last.exceptions[0] if isinstance(last, BaseExceptionGroup) else last.__cause__
        if inner is None or isinstance(inner, RpcError):
            break
        causes.append(inner)
    return causes
