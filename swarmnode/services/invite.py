"""Inviting others, and joining those who invite.

invites = Invites(host, talk, trust.vouch_invited, add, use, clock, stamp, entropy)
invites.start()
invites.make_code()            # a Deferred of the code
invites.join(text)             # a Deferred of a `Joined`
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from structlog import get_logger
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host
from swarmnode.policy.addresses import is_loopback, usable_addresses
from swarmnode.policy.rate_limit import TokenBuckets
from swarmnode.protocols.swarm.invites import (
    INVITE_SECONDS,
    MAX_USES,
    TOKEN_BYTES,
    Invite,
    encode_invite,
    read_invite,
    token_hash,
)
from swarmnode.services.ask_members import Talk
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

log = get_logger("invite")

REDEEM_TIMEOUT = 10.0
#: Tokens that one peer may show in a minute.
TRIES_A_MINUTE = 10


@dataclass(frozen=True, slots=True)
class Joined:
    """A node that was joined. vouched: both sides vouch for each other now. note: why not, in words."""

    peer: str
    vouched: bool
    note: str = ""


class Invites:
    """vouch(peer): the invite is reason to trust it. add(hash, expires, uses, stamp), use(hash, stamp): the
    store, as in `storage.peer_records`; each may return a Deferred. stamp: Unix seconds. found: told of
    addresses that were given to us, as discovery does."""

    def __init__(
        self,
        host: Host,
        talk: Talk,
        vouch: Callable[[str], None],
        add: Callable[[str, float, int, float], Any],
        use: Callable[[str, float], Any],
        clock: Clock,
        stamp: Callable[[], float],
        entropy: Callable[[int], bytes],
        found: Callable[[str | None, tuple[Multiaddr, ...], str], None] = lambda peer, addresses, how: None,
    ) -> None:
        self._host, self._talk, self._vouch, self._add, self._use = host, talk, vouch, add, use
        self._clock, self._stamp, self._entropy, self._found = clock, stamp, entropy, found
        self._tries = TokenBuckets(TRIES_A_MINUTE)

    def start(self) -> None:
        """Let those who were invited in."""
        self._talk.handle("invite_redeem", self._redeemed)

    def make_code(self) -> Deferred[str]:
        """A new code for this node. Fails with `Refused` when it has no address to give."""
        token, stamp = self._entropy(TOKEN_BYTES), self._stamp()
        expires = stamp + INVITE_SECONDS
        usable = usable_addresses(self._host.addresses())
        # A loopback address would lead every other machine to itself.
        addresses = tuple(a for a in usable if not is_loopback(a)) or usable
        invite = Invite(self._host.peer_id, addresses, token, expires)
        code = maybeDeferred(encode_invite, invite, self._entropy)
        return code.addCallback(
            lambda text: maybeDeferred(self._add, token_hash(token), expires, MAX_USES, stamp).addCallback(
                lambda _: text
            )
        )

    def join(self, text: str) -> Deferred[Joined]:
        """Connect to whoever gave us this code or address. Fails with `Refused` (`bad_invite`, `bad_address`,
        `invite_expired`, `own_invite`) or `Unavailable`: no address answers, and why."""
        return maybeDeferred(self._join, text)

    def _join(self, text: str) -> Deferred[Joined]:
        invite = read_invite(text)
        if invite.peer == self._host.peer_id:
            raise Refused("This code is this node's own", code="own_invite", hint="Use it on another node.")
        if invite.expires and invite.expires <= self._stamp():
            raise Refused(
                "The invite has expired", code="invite_expired", hint="Ask for a new one; they last 7 days."
            )
        if invite.peer is not None:
            self._found(invite.peer, invite.addresses, "invite")
        connecting: Deferred[str] = self._host.connect(invite.peer, invite.addresses)
        return connecting.addCallback(lambda peer: self._connected(peer, invite))

    def _connected(self, peer: str, invite: Invite) -> Deferred[Joined]:
        if not invite.token:
            return succeed(Joined(peer, False, "An address by itself vouches for nobody"))
        asked = self._talk.ask(peer, "invite_redeem", {"token": invite.token}, REDEEM_TIMEOUT)
        done: Deferred[Joined] = asked.addCallbacks(
            lambda reply: self._accepted(peer, bool(reply.message.vouched)),
            lambda failure: self._not_asked(peer, failure),
        )
        return done

    def _accepted(self, peer: str, vouched: bool) -> Joined:
        if not vouched:
            return Joined(peer, False, "The invite is used up, or has expired; ask for a new one")
        self._vouch(peer)
        return Joined(peer, True)

    def _not_asked(self, peer: str, failure: Failure) -> Joined:
        """We are connected, which is what matters most."""
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            failure.raiseException()
        return Joined(peer, False, f"The other node did not confirm the invite: {error.message}")

    def _redeemed(self, request: Any) -> Any:
        peer, token = request.peer, bytes(request.message.token)
        if self._tries.take(peer, self._clock.seconds()):
            raise Unavailable("Too many invites were shown", code="too_many_requests", hint="Wait a minute.")
        if len(token) != TOKEN_BYTES:
            raise PeerFault(f"A token has {TOKEN_BYTES} bytes, not {len(token)}", code="bad_message")
        used = maybeDeferred(self._use, token_hash(token), self._stamp())
        return used.addCallback(lambda good: self._let_in(peer, bool(good)))

    def _let_in(self, peer: str, good: bool) -> dict[str, bool]:
        log.info("an invite was shown", peer=peer, good=good)
        if good:
            self._vouch(peer)
        return {"vouched": good}
