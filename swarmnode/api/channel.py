"""The HTTP connection and request: bounds that must hold before a request is complete.

Twisted's own channel starts its timeout anew with every byte, so that a client that sends one byte a
minute stays for ever; it spools large bodies into a temporary file, so that prompts touch the disk; and
it answers malformed requests with a bare status line. Here a request must be complete within the
timeout, bodies stay in memory within bounds, and every answer has the same form.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers
from twisted.web.server import Request

from swarmnode.api.auth import bad_key, presented_key
from swarmnode.api.errors import envelope, status_of
from swarmnode.api.replies import COMMON_HEADERS, dump, reply_error, set_common_headers
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable

MAX_HEADERS = 100
MAX_HEADER_BYTES = 32 << 10
MAX_CONNECTIONS = 1024
#: Without the key a request may say this much; the routes that need no key take no body at all.
MAX_KEYLESS_BODY = 64 << 10
#: All bodies that are held at one time, over all connections.
MAX_BODIES_BYTES = 256 << 20
#: What is read and thrown away after a refusal, so that the client can finish sending and read it.
MAX_DRAINED_BYTES = 64 << 20
REQUEST_ID_BYTES = 12
#: Of a `Content-Length`: more than any file system holds.
MAX_LENGTH_DIGITS = 20

KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_PROBES = 60, 10, 3


class ApiChannel(HTTPChannel):
    """One connection. `site` (set by the factory) is the `ApiSite` that counts it."""

    maxHeaders = MAX_HEADERS
    totalHeadersSize = MAX_HEADER_BYTES
    MAX_LENGTH = MAX_HEADER_BYTES
    site: Any
    transport: Any
    #: Since when it waits for a whole request; bytes that make none do not count.
    waiting_since = 0.0
    _arriving = False

    def connectionMade(self) -> None:
        super().connectionMade()
        self.waiting_since = self.site.reactor.seconds()
        if ITCPTransport.providedBy(self.transport):
            keep_alive(self.transport)

    def connectionLost(self, reason: Any = None) -> None:
        super().connectionLost(reason)
        self.site.connection_ended(self)

    def dataReceived(self, data: bytes) -> None:
        """The time for a request runs from its first byte, whatever arrives between."""
        if not self._arriving:
            self._arriving = True
            self.resetTimeout()
        LineReceiver.dataReceived(self, data)

    def allContentReceived(self) -> None:
        self._arriving = False
        super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        self.waiting_since = self.site.reactor.seconds()
        super().requestDone(request)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return bool(self._handlingRequest)

    def _maybeChooseTransferDecoder(self, header: bytes, data: bytes) -> bool:
        """Python refuses to read an integer of thousands of digits: no length is that long."""
        if header == b"Content-Length" and len(data) > MAX_LENGTH_DIGITS:
            return bool(self._failChooseTransferDecoder())
        return bool(super()._maybeChooseTransferDecoder(header, data))

    @property
    def blocked(self) -> bool:
        """Whether the client has not read what was written to it."""
        return bool(self._waitingForTransport)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._end_with(_head_too_large())

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Replaces Twisted's bare `400 Bad Request`; called for malformed heads and chunks."""
        large = self._receivedHeaderSize > MAX_HEADER_BYTES or self._receivedHeaderCount > MAX_HEADERS
        self._end_with(_head_too_large() if large else _malformed())

    def _end_with(self, error: SwarmnodeError) -> None:
        if not (self.requests and self.requests[-1].startedWriting):
            self.transport.write(_refusal(error))
        self.loseConnection()


class ApiRequest(Request):
    """A request whose body is held in memory, within bounds, until `forget_body`.

    request_id: of this request, for headers and logs. route: the route that answers it.
    """

    channel: Any
    content: Any
    request_id = ""
    route = "none"
    _store: Any = None
    _held = 0
    _drained = 0
    _refused = False

    def gotLength(self, length: int | None) -> None:
        """The head is complete. length: of the body, None when it comes in chunks."""
        self.content = BytesIO()
        self._store = self.channel.site.bodies
        self.request_id = secrets.token_hex(REQUEST_ID_BYTES)
        if length:
            self._reserve(length)

    def handleContentChunk(self, data: bytes) -> None:
        if not self._refused and self.content.tell() + len(data) > self._held:
            self._reserve(len(data))
        if self._refused:
            self._drain(len(data))
        else:
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._refused:
            self.finish()
        else:
            super().requestReceived(command, path, version)

    def body(self) -> bytes:
        """The whole body, until it is forgotten."""
        found: bytes = self.content.getvalue()
        return found

    def forget_body(self) -> None:
        """The body is not needed any more: what was held of it is given back."""
        self.content = BytesIO()
        self._release()

    def connectionLost(self, reason: Failure) -> None:
        self._release()
        super().connectionLost(reason)

    def finish(self) -> None:
        self._release()
        super().finish()

    def _handleStar(self) -> None:
        """`OPTIONS *`: Twisted answers it by itself, without our headers."""
        set_common_headers(self, self.request_id)
        self.write(reply_error(self, Refused("There is no * here", code="not_found")))
        self.finish()

    def _reserve(self, size: int) -> None:
        error = self._store.reserve(self.requestHeaders, self._held, size)
        if error is None:
            self._held += size
        else:
            self._refuse(error)

    def _release(self) -> None:
        if self._held:
            self._store.release(self._held)
            self._held = 0

    def _refuse(self, error: SwarmnodeError) -> None:
        """Answer before the body is there, then read it to its end (within bounds) and close: closing
        at once would reset the connection and the client would never see the answer."""
        self._release()
        self._refused = True
        self.content = BytesIO()
        self.requestHeaders.removeHeader(b"expect")
        self.channel.persistent = False
        self.clientproto = b"HTTP/1.1"
        set_common_headers(self, self.request_id)
        self.setHeader(b"Connection", b"close")
        self.write(reply_error(self, error))

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > MAX_DRAINED_BYTES:
            self.channel.forceAbortClient()


class BodyStore:
    """The one owner of how much of all bodies is held.

    limit: bytes of one body. allows: whether a key is the right one (None when none was presented).
    """

    def __init__(self, limit: int, allows: Callable[[str | None], bool]) -> None:
        self._limit = limit
        self._allows = allows
        self.held = 0

    def reserve(self, headers: Headers, had: int, more: int) -> SwarmnodeError | None:
        """Make room for `more` bytes of a body that has `had`; the reason when there is none."""
        if had + more > self._limit:
            return _too_large(self._limit)
        if had + more > MAX_KEYLESS_BODY and not self._allows(key := presented_key(headers)):
            return bad_key(key)
        if self.held + more > MAX_BODIES_BYTES:
            return _too_many_bodies()
        self.held += more
        return None

    def release(self, size: int) -> None:
        """Give room back."""
        self.held -= size


def keep_alive(transport: Any) -> None:
    """TCP keepalive as the seeds set it, so that work stops when a client's machine has vanished."""
    transport.setTcpKeepAlive(True)
    handle = transport.getHandle()
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, option):
            handle.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _too_large(limit: int) -> Refused:
    """A body over the cap."""
    return Refused(
        f"The body is larger than the {limit} bytes that are allowed",
        code="request_too_large",
        hint="Send less at once.",
    )


def _too_many_bodies() -> Unavailable:
    """All bodies together are over their bound."""
    return Unavailable(
        f"The node holds {MAX_BODIES_BYTES} bytes of unfinished requests already",
        code="queue_full",
        hint="Try again in a moment.",
    )


def _malformed() -> Refused:
    return Refused(
        "The request is not well-formed HTTP/1.1", code="bad_http", hint="Check the client or a proxy."
    )


def _head_too_large() -> Refused:
    return Refused(
        f"The request's head has more than {MAX_HEADERS} headers or {MAX_HEADER_BYTES} bytes",
        code="headers_too_large",
    )


def _refusal(error: SwarmnodeError) -> bytes:
    """A whole answer for a connection whose request could not be read."""
    body = dump(envelope(error))
    status = {400: b"400 Bad Request", 431: b"431 Request Header Fields Too Large"}[status_of(error)]
    head = [b"HTTP/1.1 " + status, b"Connection: close", b"Content-Type: application/json"]
    head += [b"Content-Length: %d" % len(body)] + [name + b": " + value for name, value in COMMON_HEADERS]
    return b"\r\n".join(head) + b"\r\n\r\n" + body
