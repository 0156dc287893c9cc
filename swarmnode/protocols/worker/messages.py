"""What is said on the link: kinds of messages, their lanes, who may send them and how large they are.

A message is a kind, a small JSON header and raw payload bytes. Text and requests travel as JSON in the
payload, tensors as their bytes with `dtype` and `shape` in the header. `call` in a header ties an
answer to its question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from swarmnode.values.errors import LocalFault

#: Raised by one with every change that an older end would misread.
LINK_VERSION = 1

KIB, MIB = 1 << 10, 1 << 20
MAX_HEADER = 16 * KIB
#: Events of one request that may be on their way before its slot stops decoding.
CREDIT = 256
#: Requests and calls that one worker holds at a time.
MAX_REQUESTS = 1024
MAX_CALLS = 1024


class LinkFault(LocalFault):
    """The other end said something that the link does not allow, or too much of it."""

    def __init__(self, message: str, *, code: str = "link_fault") -> None:
        super().__init__(message, code=code, hint="The worker is started again; if it returns, report it.")


class Lane(IntEnum):
    """Lower lanes go first whenever a frame may be sent."""

    CONTROL = 0
    TOKENS = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of message. `senders`: N the node, W the worker. `limit`: of its payload, in bytes."""

    name: str
    lane: Lane
    senders: str
    limit: int


def _kinds(*kinds: Kind) -> dict[str, Kind]:
    return {kind.name: kind for kind in kinds}


#: Within a lane order is kept, so what must not overtake one another shares a lane.
KINDS = _kinds(
    Kind("hello", Lane.CONTROL, "NW", 0),
    Kind("load", Lane.CONTROL, "N", MIB),
    Kind("loaded", Lane.CONTROL, "W", MIB),
    Kind("load_failed", Lane.CONTROL, "W", 64 * KIB),
    Kind("credit", Lane.CONTROL, "N", 0),
    Kind("cancel", Lane.CONTROL, "N", 0),
    Kind("stats", Lane.CONTROL, "W", 0),
    Kind("bye", Lane.CONTROL, "NW", 64 * KIB),
    Kind("events", Lane.TOKENS, "W", 16 * MIB),
    Kind("generate", Lane.BULK, "N", 64 * MIB),
    Kind("tokenize", Lane.BULK, "N", 64 * MIB),
    Kind("tokens", Lane.BULK, "W", 64 * MIB),
    Kind("detokenize", Lane.BULK, "N", 16 * MIB),
    Kind("text", Lane.BULK, "W", 64 * MIB),
    Kind("open_session", Lane.BULK, "N", 16 * MIB),
    Kind("step", Lane.BULK, "N", 256 * MIB),
    Kind("step_result", Lane.BULK, "W", 256 * MIB),
    Kind("truncate", Lane.BULK, "N", 0),
    Kind("close_session", Lane.BULK, "N", 0),
    Kind("done", Lane.BULK, "W", 0),
    Kind("fault", Lane.BULK, "W", 64 * KIB),
)

#: Questions, and the kind that answers each (or `fault`).
ANSWERS = {
    "tokenize": "tokens",
    "detokenize": "text",
    "open_session": "done",
    "step": "step_result",
    "truncate": "done",
    "close_session": "done",
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `header` is JSON-able and small; `payload` is any bytes-like object."""

    kind: str
    header: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes | bytearray | memoryview = b""

    def json(self) -> Any:
        """The payload as JSON. Raises `LinkFault`."""
        try:
            return json.loads(bytes(self.payload))
        except (ValueError, RecursionError) as error:
            raise LinkFault(f"the payload of a {self.kind} message is not JSON") from error

    def number(self, name: str) -> int:
        """A whole number from the header. Raises `LinkFault`."""
        value = self.header.get(name)
        if not isinstance(value, int) or isinstance(value, bool):
            raise LinkFault(f"a {self.kind} message lacks the number {name!r}")
        return value


def read_by(reader: Callable[..., list[Any]], machine: Any, message: Message, now: float) -> list[Any]:
    """The effects of a message; a `LinkFault` for one whose fields are not what they should be."""
    try:
        return reader(machine, message, now)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise LinkFault(f"a {message.kind} message that cannot be read: {error}") from error


def json_bytes(data: Any) -> bytes:
    """JSON as the link writes it: ASCII, so that even lone surrogates survive the way."""
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def header_bytes(message: Message) -> bytes:
    """The header with its kind, as JSON. Raises `LinkFault` when it is too large or has no such kind."""
    if message.kind not in KINDS:
        raise LinkFault(f"there is no message of kind {message.kind!r}")
    data = json_bytes([message.kind, dict(message.header)])
    if len(data) > MAX_HEADER:
        raise LinkFault(f"the header of a {message.kind} message has {len(data)} bytes, over {MAX_HEADER}")
    return data


def parse_header(data: bytes) -> tuple[Kind, dict[str, Any]]:
    """The inverse of `header_bytes`. Raises `LinkFault`."""
    try:
        name, fields = json.loads(data)
    except (ValueError, TypeError, RecursionError) as error:
        raise LinkFault("the header of a message is not JSON of the right form") from error
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None or not isinstance(fields, dict):
        raise LinkFault(f"a message of the unknown kind {str(name)[:40]!r}")
    return kind, fields
