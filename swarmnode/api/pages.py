"""The web page: its shells, with the one-time nonce for this machine, and its static files."""

from __future__ import annotations

from html import escape
from typing import Any

from twisted.web.http import CACHED

from swarmnode.api.assets import Asset, Assets
from swarmnode.api.auth import PageNonces
from swarmnode.api.replies import reply
from swarmnode.api.routing import Router
from swarmnode.values.errors import Refused

_NONCE, _THEME = b"{{page_nonce}}", b"{{theme}}"


class PageRoutes:
    """theme: `dark` or `light`, for who has not chosen."""

    def __init__(self, assets: Assets, nonces: PageNonces, clock: Any, theme: str) -> None:
        self._assets = assets
        self._nonces = nonces
        self._clock = clock
        self._theme = escape(theme).encode("utf-8")

    def add_to(self, router: Router) -> None:
        """Add the routes."""
        for rule in ("/", "/chat", "/chat/<path:view>"):
            router.add("GET", rule, self.chat)
        for rule in ("/admin", "/admin/<path:view>"):
            router.add("GET", rule, self.admin)
        router.add("GET", "/static/<path:name>", self.static)
        router.add("GET", "/favicon.ico", self.favicon)
        router.add("GET", "/favicon.svg", self.favicon)

    def chat(self, request: Any, view: str = "") -> bytes:
        """The chat page."""
        return self._shell(request, "index.html")

    def admin(self, request: Any, view: str = "") -> bytes:
        """The dashboard; the chat page where there is none."""
        return self._shell(request, "admin.html" if "admin.html" in self._assets.shells else "index.html")

    def static(self, request: Any, name: str) -> bytes:
        """A file of the page."""
        asset = self._assets.files.get(f"/static/{name}")
        if asset is None:
            raise Refused("The page has no such file", code="not_found")
        return _file(request, asset)

    def favicon(self, request: Any) -> bytes:
        """The page's icon, wherever it lies among the static files."""
        for path, asset in self._assets.files.items():
            if path.endswith(("/favicon.ico", "/favicon.svg")):
                return _file(request, asset)
        raise Refused("The page has no icon", code="not_found")

    def _shell(self, request: Any, name: str) -> bytes:
        nonce = self._nonces.issue(self._clock.seconds()) if _may_have_nonce(request) else ""
        shell = self._assets.shells[name]
        body = shell.body.replace(_NONCE, nonce.encode("ascii")).replace(_THEME, self._theme)
        request.setHeader(b"Cache-Control", b"no-store")
        return reply(request, body, shell.content_type)


def _may_have_nonce(request: Any) -> bool:
    return request.method == b"GET" and request.caller.direct


def _file(request: Any, asset: Asset) -> bytes:
    request.setHeader(b"Cache-Control", b"no-cache")
    if request.setETag(asset.etag) is CACHED:
        request.setHeader(b"Content-Type", asset.content_type)
        return b""
    return reply(request, asset.body, asset.content_type)
