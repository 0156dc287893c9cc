"""Which routes ask for the API key, how a request presents it, and the page's one-time nonces."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from enum import Enum

from twisted.web.http_headers import Headers

from swarmnode.values.errors import Refused

NONCE_SECONDS = 60.0
MAX_NONCES = 64

_SHELLS = ("/chat", "/admin")
_PUBLIC_FILES = ("/favicon.ico", "/favicon.svg")
_HEALTH = ("/health", "/health/ready")
PAGE_KEY_PATH = "/api/admin/page-key"


class Area(Enum):
    """What part of the site a path belongs to; every path that is not named needs the key."""

    PAGE = "page"
    HEALTH = "health"
    METRICS = "metrics"
    PAGE_KEY = "page_key"
    ADMIN = "admin"
    API = "api"


def area_of(path: str) -> Area:
    """The part of the site a path (without query) belongs to."""
    if path == "/" or path in _PUBLIC_FILES or path.startswith("/static/"):
        return Area.PAGE
    if any(path == shell or path.startswith(shell + "/") for shell in _SHELLS):
        return Area.PAGE
    if path in _HEALTH:
        return Area.HEALTH
    if path == "/metrics":
        return Area.METRICS
    if path == PAGE_KEY_PATH:
        return Area.PAGE_KEY
    return Area.ADMIN if path == "/api" or path.startswith("/api/") else Area.API


def presented_key(headers: Headers) -> str | None:
    """The key of `Authorization: Bearer KEY`, or else of `x-api-key`; None when there is neither."""
    for value in headers.getRawHeaders(b"authorization", []):
        scheme, _, key = value.decode("latin-1").strip().partition(" ")
        if scheme.lower() == "bearer" and key.strip():
            return key.strip()
    for value in headers.getRawHeaders(b"x-api-key", []):
        if value.strip():
            return value.decode("latin-1").strip()
    return None


def bad_key(key: str | None) -> Refused:
    """The error for a request without the right key."""
    if key is None:
        return Refused(
            "This route needs the API key of the node, and the request has none",
            code="missing_api_key",
            hint="Send `Authorization: Bearer KEY`. The key is in the file `api_key` of the data directory.",
        )
    return Refused(
        "The API key is not the key of this node",
        code="invalid_api_key",
        hint="The key is in the file `api_key` of the data directory.",
    )


class PageNonces:
    """One-time tickets, good for a minute, that a page served to this machine trades for the key.

    At most `MAX_NONCES` wait at a time; a new one pushes out the oldest.
    """

    def __init__(self) -> None:
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def issue(self, now: float) -> str:
        """A new nonce, 32 random bytes in hex. now: monotonic seconds."""
        nonce = secrets.token_hex(32)
        self._expiry[_digest(nonce)] = now + NONCE_SECONDS
        while len(self._expiry) > MAX_NONCES:
            self._expiry.popitem(last=False)
        return nonce

    def redeem(self, nonce: str, now: float) -> bool:
        """Whether the nonce was issued within the last minute and not used before. Uses it up."""
        return self._expiry.pop(_digest(nonce), now) > now

    def __len__(self) -> int:
        return len(self._expiry)


def _digest(nonce: str) -> bytes:
    """Nonces are looked up by their hash: how long that takes says nothing about the nonces kept."""
    return hashlib.sha256(nonce.encode("utf-8", "replace")).digest()
