"""The control interface: what a test in another process asks and orders over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from tests.support.telegram.faults import FaultRule, RateLimits
from tests.support.telegram.hub import Hub
from tests.support.telegram.inspection import StateView

Handler = Callable[[HttpRequest], Awaitable[Response]]


class PressOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /control/press."""

    chat_id: int
    message_id: int
    callback_data: str
    user_id: int
    stale: bool = False


class TextOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /control/text."""

    chat_id: int
    text: str
    user_id: int


class ChatOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /control/chats: makes a chat known, or blocks the bot in it."""

    chat_id: int
    username: str = ""
    title: str = ""
    channel: bool = False
    blocked: bool = False


def control_routes(hub: Hub) -> list[Route]:
    """GET state, photos/<sha256>; POST faults (one rule or a list), rate-limits (or null), chats, press, text; DELETE
    faults. A bad order is answered with 400 and the rule it breaks."""
    orders = _Orders(hub)
    return [
        Route("/control/state", _checked(orders.state), methods=["GET"]),
        Route("/control/photos/{sha256}", _checked(orders.photo), methods=["GET"]),
        Route("/control/faults", _checked(orders.add_faults), methods=["POST"]),
        Route("/control/faults", _checked(orders.clear_faults), methods=["DELETE"]),
        Route("/control/rate-limits", _checked(orders.set_rate_limits), methods=["POST"]),
        Route("/control/chats", _checked(orders.set_chat), methods=["POST"]),
        Route("/control/press", _checked(orders.press), methods=["POST"]),
        Route("/control/text", _checked(orders.send_text), methods=["POST"]),
    ]


class _Orders:
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def state(self, _: HttpRequest) -> Any:
        return without_photo_bytes(self._hub.state())

    async def photo(self, http: HttpRequest) -> Any:
        photo = self._hub.world.photo_of(http.path_params["sha256"])
        if photo is None:
            return Response(status_code=404)
        return Response(photo.content, media_type=f"image/{photo.format}")

    async def add_faults(self, http: HttpRequest) -> Any:
        rules = msgspec.json.decode(await http.body(), type=FaultRule | list[FaultRule])
        for rule in rules if isinstance(rules, list) else [rules]:
            self._hub.faults.add(rule)
        return {"ok": True}

    async def clear_faults(self, http: HttpRequest) -> Any:
        seed = http.query_params.get("seed")
        self._hub.faults.clear(int(seed) if seed else None)
        return {"ok": True}

    async def set_rate_limits(self, http: HttpRequest) -> Any:
        self._hub.set_rate_limits(msgspec.json.decode(await http.body(), type=RateLimits | None))
        return {"ok": True}

    async def set_chat(self, http: HttpRequest) -> Any:
        order = msgspec.json.decode(await http.body(), type=ChatOrder)
        self._hub.world.add_chat(order.chat_id, username=order.username, title=order.title, channel=order.channel)
        self._hub.world.set_blocked(order.chat_id, blocked=order.blocked)
        return {"ok": True}

    async def press(self, http: HttpRequest) -> Any:
        order = msgspec.json.decode(await http.body(), type=PressOrder)
        query_id = self._hub.world.press(
            order.chat_id, order.message_id, order.callback_data, order.user_id, stale=order.stale
        )
        return {"callback_query_id": query_id}

    async def send_text(self, http: HttpRequest) -> Any:
        order = msgspec.json.decode(await http.body(), type=TextOrder)
        return {"message_id": self._hub.world.send_text(order.chat_id, order.text, order.user_id)}


def without_photo_bytes(view: StateView) -> StateView:
    """The same state, its pictures named by digest only."""
    for message in view.messages:
        message.history = [
            msgspec.structs.replace(v, photo=msgspec.structs.replace(v.photo, content=b"")) if v.photo else v
            for v in message.history
        ]
    return view


def _checked(handler: Callable[[HttpRequest], Awaitable[Any]]) -> Handler:
    async def answer(http: HttpRequest) -> Response:
        try:
            content = await handler(http)
        except ValueError as error:  # msgspec's decoding and validation errors are ValueErrors, too
            return Response(msgspec.json.encode({"ok": False, "error": str(error)}), 400, media_type="application/json")
        if isinstance(content, Response):
            return content
        return Response(msgspec.json.encode(content), media_type="application/json")

    return answer
