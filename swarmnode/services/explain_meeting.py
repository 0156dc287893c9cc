"""Explaining why this node and another one do not meet: a try in steps, and one cause in plain words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks, succeed

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host
from swarmnode.policy.meeting import MAX_SKEW_SECONDS, Attempt, Cause, cause_of
from swarmnode.policy.peer_book import PeerFacts
from swarmnode.protocols.swarm.invites import read_invite
from swarmnode.services.say_hello import PeerFacts as Greeted
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import parse_peer_id

#: Addresses of a peer that are tried one by one.
MAX_TRIED = 12
#: A private network's gate takes five seconds to close; who is still there after that stays.
SETTLE_SECONDS, LOOK_SECONDS = 7.0, 0.25

Try = Callable[[Multiaddr], Deferred[Attempt]]
Resolve = Callable[[Sequence[Multiaddr]], Deferred[Any]]


class Book(Protocol):
    """The part of `services.keep_peer_book.PeerBook` that is needed."""

    def facts(self, peer: str) -> PeerFacts | None: ...

    def addresses(self, peer: str) -> tuple[Multiaddr, ...]: ...


class ExplainMeeting:
    """probe: tries one address, beside the pool. protocols: ids of ours of which the other node should have
    one. greeted: what a peer said in its hello."""

    def __init__(
        self,
        host: Host,
        book: Book,
        clock: Clock,
        probe: Try,
        resolve: Resolve | None,
        protocols: Collection[str],
        greeted: Callable[[str], Greeted | None],
    ) -> None:
        self._host, self._book, self._clock = host, book, clock
        self._probe, self._resolve = probe, resolve
        self._protocols, self._greeted = frozenset(protocols), greeted

    @inlineCallbacks
    def explain(self, text: str) -> Any:
        """text: a peer id, an address or an invite code. A Deferred of `{"meets", "steps", ...}`; fails with
        `Refused` when it is none of them."""
        peer, addresses = _target(text.strip(), self._book)
        steps = _Steps()
        cause: Cause | None = None
        try:
            met = yield self._host.connect(peer, addresses)
        except SwarmnodeError as error:
            cause = yield self._why_not(peer, addresses, error, steps)
        else:
            cause = yield self._look_at(met, steps)
            peer = met
        return _told(peer, cause, steps)

    @inlineCallbacks
    def _why_not(
        self, peer: str | None, addresses: Sequence[Multiaddr], error: SwarmnodeError, steps: _Steps
    ) -> Any:
        own = self._host.peer_id
        if error.code in ("offline_mode", "self_dial"):
            return cause_of(peer, own, (), (), error)
        known = self._book.addresses(peer) if peer is not None else ()
        wanted = tuple(dict.fromkeys(one.without_peer() for one in (*addresses, *known)))[:MAX_TRIED]
        try:
            resolved = yield self._resolve(wanted) if self._resolve and wanted else succeed(wanted)
        except SwarmnodeError as unresolved:
            steps.failed("resolve", unresolved.message)
            return cause_of(peer, own, (), (), unresolved)
        tries = [self._probe(address) for address in resolved[:MAX_TRIED]]
        results = yield DeferredList(tries)
        attempts: list[Attempt] = [attempt for _, attempt in results]
        for attempt in attempts:
            steps.tried(attempt)
        if attempts and any(one.peer == peer or peer is None for one in attempts if one.peer):
            steps.failed("connect", error.message)
        return cause_of(peer, own, self._host.addresses(), attempts, error)

    @inlineCallbacks
    def _look_at(self, peer: str, steps: _Steps) -> Any:
        """They are connected: whether it lasts, and is of use."""
        for link in self._host.links(peer):
            steps.passed(f"connect {link.remote}", f"{peer} answers, and has proven who it is")
        waited = 0.0
        while waited < SETTLE_SECONDS and not self._known(peer) and peer in self._host.peers():
            yield _pause(self._clock, LOOK_SECONDS)
            waited += LOOK_SECONDS
        if peer not in self._host.peers():
            steps.failed("stay connected", "the other node ended the connection after a moment")
            return Cause(
                "closed_by_peer",
                f"{peer} answers, but ends the connection after a moment",
                "It may be of a private network (network.gossip_network_id), have too many peers, or have "
                "banned this node for a while. Run the doctor there too.",
            )
        return self._of_use(peer, steps)

    def _known(self, peer: str) -> bool:
        facts = self._book.facts(peer)
        if facts is None or not facts.protocols:
            return False
        return self._greeted(peer) is not None or not self._protocols & set(facts.protocols)

    def _of_use(self, peer: str, steps: _Steps) -> Cause | None:
        facts = self._book.facts(peer)
        spoken = set(facts.protocols) if facts is not None else set()
        if not self._protocols & spoken:
            agent = facts.agent if facts is not None and facts.agent else "another program"
            steps.failed("protocols", f"{agent} speaks none of this node's own protocols")
            return Cause(
                "no_common_protocol",
                f"{peer} ({agent}) is connected, but speaks none of this node's own protocols",
                "It is another libp2p program, of another private network, or too old a version.",
            )
        steps.passed("protocols", "both speak the same")
        greeted = self._greeted(peer)
        if greeted is None:
            return None
        said = f"its clock is {abs(greeted.skew):.1f} s {'ahead' if greeted.skew > 0 else 'behind'}"
        if abs(greeted.skew) <= MAX_SKEW_SECONDS:
            steps.passed("clock", said)
            return None
        steps.failed("clock", said)
        return Cause(
            "clock",
            f"{peer} is connected, but {said}: signed messages of one are refused by the other",
            "Set the clocks of both machines by NTP.",
        )


class _Steps:
    """What was tried, in order."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []

    def passed(self, step: str, detail: str) -> None:
        self.told.append({"step": step, "ok": True, "detail": detail})

    def failed(self, step: str, detail: str) -> None:
        self.told.append({"step": step, "ok": False, "detail": detail})

    def tried(self, attempt: Attempt) -> None:
        step = f"connect {attempt.address}"
        if attempt.error is not None:
            self.failed(step, attempt.error.message)
        else:
            self.passed(step, f"{attempt.peer} answers, and has proven who it is")


def _target(text: str, book: Book) -> tuple[str | None, tuple[Multiaddr, ...]]:
    if text.startswith(("/", "swarm:")):
        invite = read_invite(text)
        return invite.peer, invite.addresses
    peer = parse_peer_id(text)
    return peer, book.addresses(peer)


def _told(peer: str | None, cause: Cause | None, steps: _Steps) -> dict[str, Any]:
    answer: dict[str, Any] = {"meets": cause is None, "steps": steps.told}
    if peer is not None:
        answer["node_id"] = peer
    if cause is not None:
        answer |= {"cause": cause.code, "message": cause.text, "advice": cause.advice}
    return answer


def _pause(clock: Clock, seconds: float) -> Deferred[None]:
    waiting: Deferred[None] = Deferred(lambda _: call.cancel())
    call = clock.callLater(seconds, waiting.callback, None)
    return waiting
