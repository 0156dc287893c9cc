"""Answers as bytes, and the headers that every answer carries."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

from twisted.web.http import Request

from swarmnode.api.errors import envelope, retry_after, status_of
from swarmnode.values.errors import SwarmnodeError

JSON = b"application/json"

#: The seeds' policy without 'unsafe-inline': no page of ours has inline styles or scripts.
CONTENT_SECURITY_POLICY = (
    b"default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    b"img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)

COMMON_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Server", b"swarmnode"),
    (b"Content-Security-Policy", CONTENT_SECURITY_POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
)


def set_common_headers(request: Request, request_id: str) -> None:
    """The headers that every answer carries, whatever it says."""
    for name, value in COMMON_HEADERS:
        request.setHeader(name, value)
    request.setHeader(b"x-request-id", request_id.encode("ascii"))


def header_text(request: Request, name: bytes) -> str:
    """A header of the request as text, empty when it is not there. Any bytes: Twisted's own reading as
    text fails for what is not UTF-8."""
    found: bytes | None = request.getHeader(name)
    return (found or b"").decode("latin-1")


def dump(value: Any) -> bytes:
    """JSON as UTF-8, compact. NaN and infinity are a bug of the caller and raise `ValueError`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def reply(request: Request, body: bytes, content_type: bytes, status: int = 200) -> bytes:
    """Set status, type and length; return the body for the router to write."""
    request.setResponseCode(status)
    request.setHeader(b"Content-Type", content_type)
    request.setHeader(b"Content-Length", b"%d" % len(body))
    return body


def reply_json(request: Request, value: Any, status: int = 200) -> bytes:
    """A JSON answer that no cache keeps."""
    request.setHeader(b"Cache-Control", b"no-store")
    return reply(request, dump(value), JSON, status)


def reply_error(request: Request, error: SwarmnodeError, wait: float | None = None) -> bytes:
    """The error's envelope with its status. wait: seconds for `Retry-After`, where they are known."""
    seconds = math.ceil(wait) if wait is not None else retry_after(error)
    if seconds is not None:
        request.setHeader(b"Retry-After", b"%d" % max(1, seconds))
    if status_of(error) == 401:
        request.setHeader(b"WWW-Authenticate", b'Bearer realm="swarmnode"')
    return reply_json(request, envelope(error), status_of(error))


def server_timing(parts: Iterable[tuple[str, float | None]]) -> bytes:
    """A `Server-Timing` value (W3C) of the parts that were measured, in milliseconds."""
    return ", ".join(f"{name};dur={ms:.1f}" for name, ms in parts if ms is not None).encode("ascii")
