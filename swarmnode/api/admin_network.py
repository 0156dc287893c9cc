"""The owner's routes for the peer-to-peer network: who is there, inviting, joining, and what is wrong."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from swarmnode.api.body import BodyReader
from swarmnode.api.checks import done, invalid_value, missing, read_fields, table_of, text
from swarmnode.api.replies import reply_json
from swarmnode.api.routing import Router
from swarmnode.values.errors import Unavailable

#: Names under which whom to join or to explain may be sent: one of them.
TARGETS = table_of(
    done("code", text(4096, 1), "text", "an invite code"),
    done("address", text(4096, 1), "text", "a multiaddr"),
    done("peer", text(4096, 1), "text", "a peer id"),
)


class NetworkRoutes:
    """network: `INetworkAdmin`, or None where there is no network."""

    def __init__(self, network: Any, bodies: BodyReader) -> None:
        self._maybe, self._bodies = network, bodies

    def add_to(self, router: Router) -> None:
        """Add the routes."""
        router.add("GET", "/api/admin/peers", self.peers)
        router.add("GET", "/api/admin/network-code", self.code)
        router.add("POST", "/api/admin/join-network", self.join)
        router.add("POST", "/api/admin/doctor", self.doctor)

    @property
    def _network(self) -> Any:
        if self._maybe is None:
            raise Unavailable("This node is on no network", code="no_network")
        return self._maybe

    def peers(self, request: Any) -> bytes:
        """The live peers, never this node itself."""
        return reply_json(request, {"peers": self._network.peers()})

    def code(self, request: Any) -> Deferred[bytes]:
        """A code for others to join by."""
        return _answered(request, self._network.code())

    def join(self, request: Any) -> Deferred[bytes]:
        """Connect to a node at once: `{"code": "swarm://..."}` or `{"address": "/ip4/..."}`."""
        network = self._network
        reading = self._bodies.read(request, lambda body: _target(body, "code", "address"))
        return _answered(request, reading.addCallback(network.join))

    def doctor(self, request: Any) -> Deferred[bytes]:
        """What is wrong: `{}` for this node, `{"peer": id, address or code}` for the way to another."""
        network = self._network
        reading = self._bodies.read(request, lambda body: _target(body, *TARGETS) if body else None)
        return _answered(
            request,
            reading.addCallback(lambda target: network.explain(target) if target else network.examine()),
        )


def _answered(request: Any, result: Deferred[Any]) -> Deferred[bytes]:
    return result.addCallback(lambda value: reply_json(request, value))


def _target(body: dict[str, Any], *names: str) -> str:
    fields = read_fields({name: TARGETS[name] for name in names}, body)
    if len(fields) != 1:
        raise missing(" or ".join(names))
    (name, text), *_ = fields.items()
    if not text.strip():
        raise invalid_value(name, "must not be empty")
    return str(text)
