"""A node that is nothing but its answers: HTTP connections without sockets, for tests of clients."""

from __future__ import annotations

import io
import json
from http.client import HTTPConnection
from typing import Any

from swarmnode.cli.client import NodeClient

_AT_ONCE = 7


class _Wire:
    """The part of a socket that `http.client` uses."""

    def __init__(self, node: CannedNode) -> None:
        self.node, self.sent = node, b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def makefile(self, mode: str) -> io.BufferedReader:
        self.node.requests.append(self.sent)
        return io.BufferedReader(_Slowly(self.node.answers.pop(0)))

    def close(self) -> None:
        self.node.closed += 1


class _Slowly(io.RawIOBase):
    """Bytes that arrive a few at a time; the exception `broken` in place of the end, if there is one."""

    def __init__(self, answer: tuple[bytes, Exception | None]) -> None:
        self.left, self.broken = answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self.left and self.broken:
            raise self.broken
        count = min(_AT_ONCE, len(buffer))
        part, self.left = self.left[:count], self.left[count:]
        buffer[: len(part)] = part
        return len(part)


class CannedNode:
    """Gives its answers in their order, a few bytes at a time. requests: the bytes that came.
    refuses: what a connection attempt raises, if anything."""

    def __init__(self) -> None:
        self.answers: list[tuple[bytes, Exception | None]] = []
        self.requests: list[bytes] = []
        self.closed = 0
        self.refuses: Exception | None = None

    def answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        """Answer once, with these bytes."""
        head = f"HTTP/1.1 {status} Any\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answers.append((head.encode() + body, None))

    def answer_json(self, data: Any, status: int = 200) -> None:
        """Answer once, with JSON."""
        self.answer(status, json.dumps(data).encode())

    def answer_events(self, *data: str, broken: Exception | None = None) -> None:
        """Answer once, with server-sent events in chunks; `broken` is raised in place of their end."""
        parts = [f"data: {one}\n\n".encode() for one in data]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.answers.append((head + chunks + (b"" if broken else b"0\r\n\r\n"), broken))

    def connect(self, seconds: float) -> HTTPConnection:
        """What `NodeClient` is given to connect with."""
        if self.refuses:
            raise self.refuses
        connection = HTTPConnection("node", 8800, timeout=seconds)
        connection.sock = _Wire(self)
        return connection

    def client(self, key: str = "secret") -> NodeClient:
        """A client of this node."""
        return NodeClient("http://node:8800", self.connect, key, "/data/api_key")
