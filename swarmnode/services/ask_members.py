"""Asking peers about members: whom they know, and whether they hear somebody; and trying oneself."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from structlog import get_logger
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host
from swarmnode.policy.addresses import for_peer
from swarmnode.protocols.swarm.member_claims import Claim, Suspicion, open_statement
from swarmnode.protocols.swarm.member_table import PAGE_CLAIMS
from swarmnode.protocols.swarm.membership_vocabulary import (
    AskProbe,
    AskView,
    NotViewed,
    Probed,
    Reach,
    Reached,
    Viewed,
)
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError

log = get_logger("swarm")

PROBE_TIMEOUT, VIEW_TIMEOUT = 2.5, 10.0
#: Statements of one page that are checked before others get their turn; a signature takes 0.1 ms.
CHECKED_AT_ONCE = 64


class Talk(Protocol):
    """The part of `services.talk_to_peers.PeerTalk` that is needed."""

    def handle(self, kind: str, handler: Callable[[Any], Any]) -> None: ...

    def ask(
        self, peer: str, kind: str, fields: Mapping[str, Any] | None = None, timeout: float = 10.0
    ) -> Any: ...


class Statements(Protocol):
    """The part of the membership machine that is needed."""

    def knows(self, statement: bytes) -> bool: ...


class MemberQuestions:
    """Executes what the membership machine wants to know, and posts what comes of it.

    is_ahead: whether a claim's sequence cannot be yet. penalise: told of a peer that passes on
    what is forged.
    """

    def __init__(
        self,
        host: Host,
        talk: Talk,
        clock: Clock,
        network: str,
        known: Statements,
        post: Callable[[Any], None],
        is_ahead: Callable[[Claim | Suspicion], bool],
        penalise: Callable[[str, SwarmnodeError], None],
    ) -> None:
        self._host, self._talk, self._clock, self._network = host, talk, clock, network
        self._known, self._post, self._is_ahead, self._penalise = known, post, is_ahead, penalise

    def ask_view(self, effect: AskView) -> None:
        """A page of whom the peer knows; `Viewed` or `NotViewed` comes."""
        asked = self._talk.ask(
            effect.peer, "member_view", {"after": effect.after, "digest": effect.digest}, VIEW_TIMEOUT
        )
        asked.addCallback(lambda reply: self._read(effect.peer, reply.message))
        asked.addErrback(lambda failure: self._not_viewed(effect.peer, failure))

    def ask_probe(self, effect: AskProbe) -> None:
        """Whether it hears somebody; `Probed` comes."""
        asked = self._talk.ask(effect.asked, "member_probe", {"peer": effect.peer}, PROBE_TIMEOUT)
        asked.addCallbacks(lambda reply: bool(reply.message.hears), self._no)
        asked.addCallback(lambda hears: self._post(Probed(effect.asked, effect.peer, hears)))

    def reach(self, effect: Reach) -> None:
        """Connect; `Reached` comes. What we refuse ourselves says nothing about the peer."""
        addresses = for_peer(self._host.addresses(), effect.addresses)
        connecting = self._host.connect(effect.peer, addresses)
        connecting.addCallbacks(
            lambda peer: True, lambda failure: self._no(failure) or failure.check(Refused) is not None
        )
        connecting.addCallback(lambda reached: self._post(Reached(effect.peer, reached)))

    def _read(self, peer: str, message: Any) -> None:
        left = deque(message.statements[:PAGE_CLAIMS])
        self._check(peer, left, [], bool(message.more))

    def _check(self, peer: str, left: deque[bytes], claims: list[Claim], more: bool) -> None:
        try:
            for _ in range(min(CHECKED_AT_ONCE, len(left))):
                statement = left.popleft()
                # Most of what is handed on is known already, byte for byte; the last one says where the next
                # page begins.
                if not self._known.knows(statement) or (more and not left):
                    claims.append(self._open(statement))
        except PeerFault as error:
            log.info("a peer hands on claims that do not hold", peer=peer, reason=error.message)
            self._penalise(peer, error)
            self._post(NotViewed(peer))
            return
        if left:
            self._clock.callLater(0, self._check, peer, left, claims, more)
            return
        after = claims[-1].peer if more and claims else ""
        self._post(Viewed(peer, tuple(one for one in claims if not self._is_ahead(one)), after))

    def _open(self, statement: bytes) -> Claim:
        said = open_statement(statement, self._network)
        if not isinstance(said, Claim):
            raise PeerFault("A view holds what is no claim", code="bad_claim")
        return said

    def _not_viewed(self, peer: str, failure: Failure) -> None:
        self._no(failure)
        self._post(NotViewed(peer))

    def _no(self, failure: Failure) -> bool:
        """An error of ours is no surprise, and means no."""
        if failure.check(SwarmnodeError) is None:
            log.error("asking about members failed", error=failure.getErrorMessage())
        return False
