"""The owner's routes under /api/admin."""

from __future__ import annotations

from typing import Any

from swarmnode.api.auth import PAGE_KEY_PATH, PageNonces
from swarmnode.api.replies import header_text, reply_json
from swarmnode.api.routing import Router
from swarmnode.values.errors import Refused


class AdminRoutes:
    """node: `INodeStatus`; keys: `IKeyRing`; nonces: those the pages were given."""

    def __init__(self, node: Any, keys: Any, nonces: PageNonces, clock: Any) -> None:
        self._node = node
        self._keys = keys
        self._nonces = nonces
        self._clock = clock

    def add_to(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/api/admin/stats", self.stats)
        router.add("GET", "/api/admin/version", self.version)
        router.add("GET", "/api/admin/api-key", self.api_key)
        router.add("POST", PAGE_KEY_PATH, self.page_key)
        router.add("POST", "/api/admin/shutdown", self.shutdown)

    def stats(self, request: Any) -> bytes:
        """Counters and figures of the node."""
        return reply_json(request, self._node.stats())

    def version(self, request: Any) -> bytes:
        """The version of the software."""
        return reply_json(request, {"name": "swarmnode", "version": self._node.version})

    def api_key(self, request: Any) -> bytes:
        """The key, for its owner on this machine."""
        _require_direct(request)
        return reply_json(request, {"api_key": self._keys.api_key()})

    def page_key(self, request: Any) -> bytes:
        """The key for a page of ours, against the nonce that the page was served with."""
        _require_direct(request)
        nonce = header_text(request, b"x-page-nonce")
        if not self._nonces.redeem(nonce, self._clock.seconds()):
            raise Refused(
                "The page's nonce is missing, used or older than a minute",
                code="bad_nonce",
                hint="Load the page again, or enter the key by hand.",
            )
        return reply_json(request, {"api_key": self._keys.api_key()})

    def shutdown(self, request: Any) -> bytes:
        """Begin an orderly stop."""
        _require_direct(request)
        self._node.shut_down("asked for over HTTP")
        return reply_json(request, {"status": "stopping"}, 202)


def _require_direct(request: Any) -> None:
    if not request.caller.direct:
        raise Refused(
            "This route answers only on the machine itself, without a proxy, under the node's own address",
            code="loopback_only",
            hint="Call it there under http://127.0.0.1 and the node's port.",
        )
