"""The network as its owner sees and uses it: one object for the admin API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import implementer

from swarmnode.interfaces.host import Host
from swarmnode.interfaces.network_admin import INetworkAdmin
from swarmnode.services.join_network import Invites, JoinNetwork
from swarmnode.services.report_peers import ReportPeers


@implementer(INetworkAdmin)
class AdministerNetwork:
    """examine(), explain(text): Deferreds of what `services.diagnose` finds."""

    def __init__(
        self,
        host: Host,
        report: ReportPeers,
        joining: JoinNetwork,
        invites: Invites,
        examine: Callable[[], Any],
        explain: Callable[[str], Any],
    ) -> None:
        self._host, self._report, self._joining, self._invites = host, report, joining, invites
        self._examine, self._explain = examine, explain

    def peers(self) -> list[dict[str, Any]]:
        return self._report.peers()

    def code(self) -> Deferred[dict[str, Any]]:
        return maybeDeferred(self._invites.make_code).addCallback(self._with_code)

    def join(self, text: str) -> Deferred[dict[str, Any]]:
        return self._joining.join(text)

    def examine(self) -> Deferred[dict[str, Any]]:
        return maybeDeferred(self._examine)

    def explain(self, text: str) -> Deferred[dict[str, Any]]:
        return maybeDeferred(self._explain, text)

    def _with_code(self, code: str) -> dict[str, Any]:
        peers = len(self._host.peers())
        return {
            "code": code,
            "addresses": [str(one.with_peer(self._host.peer_id)) for one in self._host.addresses()],
            "phase": "connected" if peers else "alone",
            "peers": peers,
        }
