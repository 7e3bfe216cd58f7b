"""The schema of hashicorp/google as a Terraform plugin: enough for `validate` and for `terraform test` with mocks, and nothing more.

Speaks Terraform's plugin protocol 5 over gRPC. It knows which arguments, blocks and attributes each resource has (google.json), so
that Terraform itself finds unknown, missing and mistyped ones; it manages nothing and calls nobody. Messages are written by hand:
only their first fields are needed (hashicorp/terraform, docs/plugin-protocol/tfplugin5.8.proto).
"""

import json
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc

COOKIE: Final = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
SCHEMA: Final = Path(__file__).resolve().parent / "google.json"
NESTED_LIST: Final = 2
MORE: Final = 0x80  # seven bits a byte, and this one where more follow
_COMPOUND: Final = re.compile(r"^(list|map|set)\((\w+)\)$")


def number(field: int, value: int) -> bytes:
    """A varint field; nothing for 0, as protobuf has it."""
    return _varint(field << 3) + _varint(value) if value else b""


def text(field: int, value: bytes | str) -> bytes:
    """A field of bytes, text or another message."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= MORE:
        out.append(value % MORE | MORE)
        value //= MORE
    return bytes([*out, value])


def attribute(name: str, words: str) -> bytes:
    """Schema.Attribute. Optional ones count as computed, too: which of them the provider fills in is not known here."""
    kind, how, *extra = words.split()
    compound = _COMPOUND.match(kind)
    return b"".join(
        (
            text(1, name),
            text(2, json.dumps(list(compound.groups()) if compound else kind)),
            number(4, how == "required"),
            number(5, how == "optional"),
            number(6, how == "computed" or (how == "optional" and "write-only" not in extra)),
            number(7, "sensitive" in extra),
            number(10, "write-only" in extra),
        )
    )


def block(schema: dict[str, Any]) -> bytes:
    """Schema.Block with what is nested in it."""
    parts = [text(2, attribute(name, words)) for name, words in schema["attributes"].items()]
    for name, inner in schema["blocks"].items():
        limits = number(4, inner["required"]) + number(5, not inner["many"])
        parts.append(text(3, text(1, name) + text(2, block(inner)) + number(3, NESTED_LIST) + limits))
    return b"".join(parts)


def provider_schema() -> bytes:
    """GetProviderSchema.Response."""
    own = {
        "attributes": {"project": "string optional", "region": "string optional", "zone": "string optional"},
        "blocks": {},
    }
    parts = [text(1, text(2, block(own)))]
    for name, schema in json.loads(SCHEMA.read_text(encoding="utf-8")).items():
        is_data = name.startswith("data_")
        kind = name.removeprefix("data_") if is_data else f"google_{name}"
        parts.append(text(3 if is_data else 2, text(1, kind) + text(2, text(2, block(schema)))))
    return b"".join(parts)


class Provider(grpc.GenericRpcHandler):
    """Answers in bytes. What is not listed is accepted with an empty answer: no diagnostics."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of one call."""
        service, _, name = handler_call_details.method.rpartition("/")
        if service == "/tfplugin5.Provider":
            return grpc.unary_unary_rpc_method_handler(lambda request, _: self._answer(name, request))
        if name == "Shutdown":
            return grpc.unary_unary_rpc_method_handler(lambda _, __: self._end())
        return None

    @staticmethod
    def _answer(name: str, request: bytes) -> bytes:
        if name == "GetSchema":
            return provider_schema()
        return request if name == "PrepareProviderConfig" else b""  # the prepared configuration is the given one

    def _end(self) -> bytes:
        self._stop.set()
        return b""


def main() -> int:
    """Serve until Terraform says that it is done, or has gone."""
    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != COOKIE:
        sys.stderr.write("this is a Terraform plugin: infra/check.sh starts it through terraform\n")
        return 2
    stop = threading.Event()
    server = grpc.server(ThreadPoolExecutor(4), handlers=[Provider(stop)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"1|5|tcp|127.0.0.1:{port}|grpc\n")
    sys.stdout.flush()
    stop.wait()
    server.stop(None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
