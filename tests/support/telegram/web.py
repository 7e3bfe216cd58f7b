"""The HTTP side: Bot API paths, control paths, long polling, webhook delivery, and faults as bytes on the wire."""

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from tests.support.telegram.content import Request
from tests.support.telegram.control import control_routes
from tests.support.telegram.errors import ApiError, bad_request
from tests.support.telegram.faults import AFTER_THE_EFFECT, FaultRule
from tests.support.telegram.hub import FirstByte, Hub, refuse_by

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_CONNECTION = "telegram.connection"
_LONG_POLL_MAX_S = 50
_WEBHOOK_RETRY_S = 0.5


class Connection(H11Protocol):
    """Uvicorn's HTTP/1.1 connection that also notes each request's first byte and can be reset."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.first_byte: FirstByte | None = None
        inner: Callable[..., Awaitable[None]] = self.app

        async def app_with_connection(scope: Any, receive: Any, send: Any) -> None:
            scope[_CONNECTION] = self
            await inner(scope, receive, send)

        self.app = app_with_connection

    def data_received(self, data: bytes) -> None:
        if self.first_byte is None:
            self.first_byte = FirstByte.now()
        super().data_received(data)

    def on_response_complete(self) -> None:
        self.first_byte = None
        super().on_response_complete()

    def reset(self) -> None:
        """Drops the connection with a TCP reset: with a linger time of 0 the kernel sends RST instead of FIN."""
        raw_socket = self.transport.get_extra_info("socket")
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class BotApiServer:
    """ASGI application around one hub."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._woken = asyncio.Event()
        self._poll_generation = 0
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pusher: asyncio.Task[None] | None = None
        hub.world.on_update = self._wake_from_any_thread
        methods = ["GET", "POST"]
        self.app = Starlette(
            routes=[
                Route("/bot{token}/{method}", self._bot_call, methods=methods),
                Route("/file/bot{token}/{path:path}", self._file, methods=["GET"]),
                *control_routes(hub),
            ]
        )

    def close(self) -> None:
        """Ends waiting polls and webhook delivery; from any thread."""
        self._closing = True
        self._wake_from_any_thread()

    def _wake_from_any_thread(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._woken.set()
        self._woken = asyncio.Event()
        if self._hub.world.webhook["url"] and (self._pusher is None or self._pusher.done()):
            self._pusher = asyncio.get_running_loop().create_task(self._push_to_webhook())

    # --- Bot API

    async def _bot_call(self, http: HttpRequest) -> Response:
        self._loop = asyncio.get_running_loop()
        connection: Connection = http.scope[_CONNECTION]
        first_byte = connection.first_byte or FirstByte.now()
        try:
            request = await _read(http)
        except ClientDisconnect:  # it was killed while it spoke
            return Response()
        except msgspec.DecodeError as error:
            return _refused(bad_request(f"can't parse JSON object: {error}"))
        method = http.path_params["method"]
        if http.path_params["token"] != self._hub.token:
            return _refused(ApiError(401, "Unauthorized"))
        is_poll = method.lower() == "getupdates"
        if not is_poll and not self._hub.api.knows(method):
            return _refused(ApiError(404, "Not Found"))
        fault = self._hub.faults.take(method, self._hub.chat_id_of(request))
        if fault is not None and fault.kind == "slow_before":
            await asyncio.sleep(fault.delay_s)
        if is_poll:
            return await self._poll_call(http, request, fault, connection)
        outcome = self._hub.execute(method, request, fault, first_byte)
        answer, response = await _answer_to(outcome.result, outcome.refusal, outcome.fault)
        self._hub.journal.finish(outcome.sequence, answer)  # first, so that who sees the answer finds it journaled
        return response or await _reset(http, connection)

    async def _poll_call(
        self, http: HttpRequest, request: Request, fault: FaultRule | None, connection: Connection
    ) -> Response:
        result, refusal = None, None
        try:
            refuse_by(fault)
            if fault is None or fault.kind in AFTER_THE_EFFECT | {"slow_before"}:
                result = await self._get_updates(request)
        except ApiError as error:
            refusal = error
        _, response = await _answer_to(result, refusal, fault)
        return response or await _reset(http, connection)

    async def _get_updates(self, request: Request) -> list[dict[str, Any]]:
        """Waits for updates up to `timeout` seconds; a newer poll ends this one with 409, as on the real server."""
        world = self._hub.world
        if world.webhook["url"]:
            rule = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise ApiError(409, f"Conflict: {rule}")
        self._poll_generation += 1
        generation = self._poll_generation
        self._wake()
        world.allow_updates(request.json("allowed_updates"))
        limit = min(max(request.integer("limit", 100), 1), 100)
        wait_s = min(request.integer("timeout"), _LONG_POLL_MAX_S)
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while True:
            woken = self._woken  # taken before looking, so that an update in between still wakes this poll
            updates = world.pending_updates(request.integer("offset"), limit)
            left_s = deadline_s - asyncio.get_running_loop().time()
            if updates or left_s <= 0 or self._closing:
                return updates
            try:
                await asyncio.wait_for(woken.wait(), left_s)
            except TimeoutError:
                continue
            if generation != self._poll_generation:
                rule = "terminated by other getUpdates request; make sure that only one bot instance is running"
                raise ApiError(409, f"Conflict: {rule}")

    async def _file(self, http: HttpRequest) -> Response:
        name = http.path_params["path"].rpartition("/")[2].partition(".")[0]
        photo = self._hub.world.photos.get(name)
        if photo is None or http.path_params["token"] != self._hub.token:
            return _refused(ApiError(404, "Not Found"))
        return Response(photo.content, media_type=f"image/{photo.format}")

    async def _push_to_webhook(self) -> None:
        """Posts pending updates one by one, oldest first, each until the bot answers 2xx."""
        world = self._hub.world
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            while (url := world.webhook["url"]) and not self._closing:
                updates = world.pending_updates(0, 1)
                if not updates:
                    return
                headers = {"X-Telegram-Bot-Api-Secret-Token": world.webhook["secret_token"]}
                try:
                    answer = await client.post(url, json=updates[0], headers=headers)
                    delivered = answer.is_success
                except httpx.HTTPError:
                    delivered = False
                if delivered:
                    world.pending_updates(updates[0]["update_id"] + 1, 1)
                else:
                    await asyncio.sleep(_WEBHOOK_RETRY_S)


async def _read(http: HttpRequest) -> Request:
    """Parameters of query, form, multipart or JSON body, as the Bot API takes them all."""
    parameters: dict[str, Any] = dict(http.query_params)
    files: dict[str, bytes] = {}
    if http.headers.get("content-type", "").startswith("application/json"):
        parameters |= msgspec.json.decode(await http.body() or b"{}", type=dict[str, Any])
        return Request(parameters, files)
    async with http.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                files[name] = await value.read()
            else:
                parameters[name] = value
    return Request(parameters, files)


async def _answer_to(result: Any, refusal: ApiError | None, fault: FaultRule | None) -> tuple[str, Response | None]:
    """What the client gets, and its name in the journal: the envelope, a gateway's page, or None for a reset."""
    kind = fault.kind if fault else ""
    if fault is not None and kind == "slow":
        await asyncio.sleep(fault.delay_s)
    if kind in {"reset_before", "reset_after"}:
        return "reset", None
    if fault is not None and kind in {"error_before", "error_after"}:
        return str(fault.status), _gateway_page(fault.status)
    if refusal is not None:
        return str(refusal.code), _refused(refusal)
    return "200", _json(200, {"ok": True, "result": result})


async def _reset(http: HttpRequest, connection: Connection) -> Response:
    connection.reset()
    while not await http.is_disconnected():  # an answer before the loop noticed would be an error in the log
        await asyncio.sleep(0)
    return Response()


def _refused(error: ApiError) -> Response:
    envelope: dict[str, Any] = {"ok": False, "error_code": error.code, "description": error.description}
    headers = {}
    if error.retry_after_s is not None:
        envelope["parameters"] = {"retry_after": error.retry_after_s}
        headers["retry-after"] = str(error.retry_after_s)
    if error.migrate_to_chat_id is not None:
        envelope["parameters"] = {"migrate_to_chat_id": error.migrate_to_chat_id}
    return _json(error.code, envelope, headers)


def _json(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def _gateway_page(status: int) -> Response:
    """A 5xx comes from the gateway in front of Telegram, so its body is a page, not the API's envelope."""
    page = f"<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center></body></html>"
    return Response(page, status, media_type="text/html")
