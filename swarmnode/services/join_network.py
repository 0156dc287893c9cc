"""Joining a network by hand: the user gives an invite code or an address, and it is dialled at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError, fail, maybeDeferred
from twisted.python.failure import Failure

from swarmnode.interfaces.host import Host
from swarmnode.services.invite import Joined
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings

CODE_PREFIX = "swarm://"
HOW = "invite"
#: All addresses together get so long, seconds.
JOIN_SECONDS = 30.0
#: An invite code or an address is never longer.
MAX_TEXT = 4096

Found = Callable[[str | None, Sequence[Multiaddr], str], None]


class Invites(Protocol):
    """The part of `services.invite` that is needed."""

    def make_code(self) -> Any:
        """A code for others to join by, or a Deferred of one."""

    def join(self, code: str) -> Any:
        """Connect to whoever made the code, and redeem it; a Deferred of a `services.invite.Joined`."""


class JoinNetwork:
    """found: told of who was met, so that the connection is made again when it breaks. keep: writes down who
    is known. clock: for the time that joining may take."""

    def __init__(
        self,
        host: Host,
        invites: Invites,
        settings: NetworkSettings,
        found: Found,
        keep: Callable[[], Any],
        clock: Any,
    ) -> None:
        self._host, self._invites, self._settings = host, invites, settings
        self._found, self._keep, self._clock = found, keep, clock

    def join(self, text: str) -> Deferred[dict[str, Any]]:
        """A Deferred of `{"node_id", "address"}`; fails with a `SwarmnodeError`."""
        try:
            joining = self._begin(text.strip())
        except SwarmnodeError as error:
            return fail(error)
        joining.addTimeout(JOIN_SECONDS, self._clock)
        return joining.addCallbacks(self._joined, _explained)

    def _begin(self, text: str) -> Deferred[Joined]:
        if self._settings.offline:
            raise Refused(
                "This node is in offline mode, in which only peers of the local network are used",
                code="offline_mode",
                hint="Set pool.offline_mode = false and start the node again.",
            )
        if not text or len(text) > MAX_TEXT:
            raise Refused(
                "There is no invite code and no address in it" if not text else "It is too long for a code",
                code="bad_invite",
                hint="Give a code (swarm://...) or an address (/ip4/192.168.1.5/tcp/8810).",
            )
        if text.startswith(CODE_PREFIX):
            return maybeDeferred(self._invites.join, text)
        address = Multiaddr.parse(text)

        def met(peer: str) -> Joined:
            self._found(peer, (address,), HOW)
            return Joined(peer, False)

        dialling: Deferred[str] = self._host.connect(address.peer, (address,))
        return dialling.addCallback(met)

    def _joined(self, joined: Joined) -> dict[str, Any]:
        self._keep()
        peer = joined.peer
        answer = {"node_id": peer, "status": "connected", "vouched": joined.vouched}
        links = self._host.links(peer)
        if links:
            answer["address"] = str(links[0].remote.with_peer(peer))
        return answer | ({"note": joined.note} if joined.note else {})


def _explained(failure: Failure) -> Failure:
    if failure.check(TimeoutError, CancelledError):
        raise Unavailable(
            f"The other node did not answer within {JOIN_SECONDS:.0f} s",
            code="timeout",
            hint="`swarmnode doctor --peer` with the same code or address says what is in the way.",
        ) from None
    return failure
