"""HTTP against a Twisted site without sockets: bytes in, bytes out, on a clock of the test."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

LOCAL = "127.0.0.1"
PORT = 8800


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer. headers: by lower-case name, the last of each."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def events(self) -> list[str]:
        """The `data` of each server-sent event."""
        blocks = self.body.decode("utf-8").split("\n\n")
        return [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]


class MemoryConnection:
    """One connection to a site. `transport` shows what the site did to it (paused, lost, aborted)."""

    def __init__(self, site: Any, peer: str = LOCAL, port: int = PORT) -> None:
        make = IPv6Address if ":" in peer else IPv4Address
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", LOCAL, port), peerAddress=make("TCP", peer, 50000)
        )
        self.channel = site.buildProtocol(self.transport.getPeer())
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        """Bytes arrive at the site."""
        self.channel.dataReceived(data)

    def request(
        self, method: str, path: str, body: bytes = b"", headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        """A whole request arrives. `Host` is ours unless it is among the headers."""
        given = list(headers)
        if not any(name.lower() == "host" for name, _ in given):
            given.insert(0, ("Host", f"{LOCAL}:{PORT}"))
        if body:
            given.append(("Content-Length", str(len(body))))
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in given)
        self.send(head.encode("latin-1") + b"\r\n" + body)

    def lose(self) -> None:
        """The client is gone."""
        self.channel.connectionLost(Failure(ConnectionDone()))

    @property
    def closing(self) -> bool:
        """Whether the site has asked to close the connection."""
        return bool(self.transport.disconnecting)

    @property
    def aborted(self) -> bool:
        """Whether the site has cut the connection without waiting for what is unsent."""
        return bool(self.transport.disconnected)

    def raw(self) -> bytes:
        """All bytes that the site has written."""
        return bytes(self.transport.value())

    def answer(self) -> Answer:
        """The first answer, as far as it is there. Raises `ValueError` when its head is not."""
        return parse_answer(self.raw())


def parse_answer(data: bytes) -> Answer:
    """An HTTP/1.1 answer from bytes; a chunked body may still be incomplete."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        raise ValueError("no complete answer yet")
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    if status == 100:
        return parse_answer(rest)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        return Answer(status, headers, _unchunk(rest))
    return Answer(status, headers, rest[: int(headers.get("content-length", len(rest)))])


def _unchunk(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        count = int(size, 16)
        if not count:
            break
        body += data[:count]
        data = data[count + 2 :]
    return body
