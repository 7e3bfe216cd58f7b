"""The connection to Pub/Sub: channel, names, deadlines, backoff, and one clear line for each way a call can fail.

Whether the GAPIC clients honour PUBSUB_EMULATOR_HOST depends on their version, so the channel is built here, by hand: to
the emulator where one is named, else to Google with application default credentials. Nothing else in the project opens a
channel to Pub/Sub.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

import google.auth
import grpc
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherAsyncClient, SubscriberAsyncClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcAsyncIOTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcAsyncIOTransport

from shared.domain.errors import PermanentError, TransientError

CALL_SECONDS: Final = 5.0  # the deadline of one try
RETRY_SECONDS: Final = 3.0  # no new try begins after that: the caller has its own backoff
PAUSE_SECONDS_FIRST: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0
GOOGLE_HOST: Final = "pubsub.googleapis.com:443"
SCOPES: Final = ("https://www.googleapis.com/auth/pubsub",)
OPTIONS: Final = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),  # the default of two minutes would outlast the outage by as much
    ("grpc.keepalive_time_ms", 60_000),
)
_WORTH_RETRYING: Final = (
    exceptions.ServiceUnavailable,
    exceptions.InternalServerError,
    exceptions.Aborted,
    exceptions.ResourceExhausted,
    exceptions.DeadlineExceeded,
    exceptions.Unknown,
)
_LOGIN: Final = "run `gcloud auth application-default login` or set GOOGLE_APPLICATION_CREDENTIALS"
ResultT = TypeVar("ResultT")


class MissingResourceError(TransientError):
    """A topic or subscription does not exist. Transient, for the message that waits for it is innocent of that."""


class PubSubClient:
    """Publisher and subscriber over one channel. close() ends it."""

    def __init__(self, project: str, channel: grpc.aio.Channel, host: str) -> None:
        self.project = project
        self.host = host
        self.publisher = PublisherAsyncClient(transport=PublisherGrpcAsyncIOTransport(channel=channel))
        self.subscriber = SubscriberAsyncClient(transport=SubscriberGrpcAsyncIOTransport(channel=channel))
        self.closed = False
        self._channel = channel

    @classmethod
    async def connect(cls, project: str, emulator_host: str | None) -> Self:
        """Open the channel; the first call dials. Raises PermanentError where there are no usable credentials."""
        if emulator_host:
            return cls.over_emulator(project, emulator_host)
        try:
            credentials, _ = await asyncio.to_thread(google.auth.default, scopes=SCOPES)
        except GoogleAuthError as error:
            raise PermanentError(f"no usable Google credentials for Pub/Sub: {_LOGIN} ({_one_line(error)})") from error
        channel = PublisherGrpcAsyncIOTransport.create_channel(GOOGLE_HOST, credentials=credentials, options=OPTIONS)
        return cls(project, channel, GOOGLE_HOST)

    @classmethod
    def over_emulator(cls, project: str, host: str) -> Self:
        """Without credentials and without encryption."""
        return cls(project, grpc.aio.insecure_channel(host, options=OPTIONS), host)

    def topic_path(self, name: str) -> str:
        """The topic's full name."""
        return f"projects/{self.project}/topics/{name}"

    def subscription_path(self, name: str) -> str:
        """The subscription's full name."""
        return f"projects/{self.project}/subscriptions/{name}"

    async def call(self, what: str, method: Callable[..., Awaitable[ResultT]], request: Any) -> ResultT:
        """One call with deadline and backoff; `what` begins the text of the error it may raise."""
        end_s = time.monotonic() + RETRY_SECONDS
        pause_s = PAUSE_SECONDS_FIRST
        while True:
            if self.closed:
                raise TransientError(f"{what}: the bus is closed, the service is shutting down")
            try:
                return await method(request=request, timeout=CALL_SECONDS, retry=None)
            except (exceptions.GoogleAPIError, GoogleAuthError, grpc.RpcError) as error:
                pause_s = min(2 * pause_s, PAUSE_SECONDS_MAX)
                jittered_s = pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
                if not isinstance(error, _WORTH_RETRYING) or time.monotonic() + jittered_s > end_s:
                    raise self.explained(what, error) from error
                await asyncio.sleep(jittered_s)

    def explained(self, what: str, error: Exception) -> PermanentError | TransientError:
        """The same failure in our terms. Only what the request itself breaks is permanent; the world may mend."""
        text = _one_line(error)
        where = f"project {self.project} at {self.host}"
        if isinstance(error, exceptions.NotFound):
            return MissingResourceError(
                f"{what}: not found in {where} ({text}); `cst infra create` makes it on emulators"
            )
        if isinstance(error, GoogleAuthError | exceptions.Unauthenticated) or "metadata from plugin" in text:
            return TransientError(f"{what}: the Google credentials are missing or expired: {_LOGIN} ({text})")
        if isinstance(error, exceptions.PermissionDenied):
            return TransientError(f"{what}: not allowed in {where}: wrong project, or a role is missing ({text})")
        if isinstance(error, exceptions.InvalidArgument):
            return PermanentError(f"{what}: Pub/Sub refuses the request ({text})")
        return TransientError(f"{what}: Pub/Sub does not answer, {where} ({text})")

    async def close(self) -> None:
        """At most half a second for calls in flight."""
        self.closed = True
        await self._channel.close(grace=0.5)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
