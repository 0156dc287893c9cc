"""Tracking who belongs to the swarm: membership bound to connections, gossip and requests.

swarm = TrackSwarm(host, clock, rng, stamp, signer, broadcast, talk, network=..., penalise=trust.penalise)
swarm.watch(listener)
swarm.start()
swarm.members()
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from structlog import get_logger

from swarmnode.driving.driver import Clock, DelayedCall, Driver
from swarmnode.interfaces.host import Host
from swarmnode.policy.coordinates import START, predict, update, worth_telling
from swarmnode.policy.rate_limit import TokenBuckets
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.member_claims import (
    Claim,
    Suspicion,
    open_statement,
    sign_claim,
    sign_suspicion,
)
from swarmnode.protocols.swarm.membership import Membership
from swarmnode.protocols.swarm.membership_vocabulary import (
    About,
    Alive,
    AskProbe,
    AskView,
    Begin,
    Claimed,
    Connected,
    Disconnected,
    Leave,
    Member,
    MemberChanged,
    MemberJoined,
    MemberLeft,
    Penalise,
    PublishClaim,
    PublishSuspicion,
    Quiet,
    Reach,
    Said,
    Say,
    Suspected,
)
from swarmnode.services.ask_members import MemberQuestions, Talk
from swarmnode.services.swarm_view import BroadcastLike, SwarmListener, SwarmMember
from swarmnode.values.coordinate import Coordinate
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.network import LinkInfo

log = get_logger("swarm")

#: How often our own addresses and facts are looked at, seconds.
LOOK_SECONDS = 30.0
#: How often a move in round-trip time is told at most: later and later, because places settle, and because
#: what everybody tells everybody is most of what an idle swarm says.
TELL_SECONDS, TELL_FACTOR, MOST_TELL_SECONDS = 60.0, 4.0, 3600.0
#: Nobody's sequence, which is milliseconds of Unix time, can be ahead of our clock by more.
MAX_AHEAD_MS = 300_000
#: Requests of one peer that are answered in a minute.
REQUESTS_A_MINUTE = 120
#: Statements that were checked and are about to be delivered.
MAX_OPENED = 64


class TrackSwarm:
    """stamp: Unix seconds. facts: a digest of what this node tells of itself elsewhere. penalise: told when a
    peer broke the rules."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        rng: Any,
        stamp: Callable[[], float],
        signer: Signer,
        broadcast: BroadcastLike,
        talk: Talk,
        *,
        network: str = "",
        facts: Callable[[], bytes] = bytes,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
    ) -> None:
        self._host, self._clock, self._rng, self._stamp = host, clock, rng, stamp
        self._signer, self._broadcast, self._talk = signer, broadcast, talk
        self._network, self._facts, self._penalise = network, facts, penalise
        self._machine = Membership(host.peer_id, int(stamp() * 1000), rng, clock.seconds())
        self._questions = MemberQuestions(
            host, talk, clock, network, self._machine, self._post, self._is_ahead, penalise
        )
        self._driver = Driver("membership", self._machine, clock, self._effects(), self._failed)
        self._place, self._told, self._told_at = START, START, clock.seconds()
        self._tell_after = TELL_SECONDS
        self._heard: dict[str, float] = {}
        self._opened: OrderedDict[bytes, Claim | Suspicion | None] = OrderedDict()
        self._askers = TokenBuckets(REQUESTS_A_MINUTE)
        self._listeners: list[SwarmListener] = []
        self._timer: DelayedCall | None = None
        self._started = False

    def start(self) -> None:
        """Take part."""
        self._started = True
        self._broadcast.on("member_claim", self._claimed, self._check)
        self._talk.handle("member_probe", self._probed)
        self._talk.handle("member_view", self._viewed)
        self._host.watch(self)
        self._driver.post(Begin(self._about()))
        for peer in self._host.peers():
            self._driver.post(Connected(peer))
        self._timer = self._clock.callLater(LOOK_SECONDS, self._look)

    def stop(self) -> None:
        """Take leave of the swarm; call it while gossip still runs."""
        if self._started:
            self._started = False
            self._driver.post(Leave())
        self._driver.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def members(self) -> tuple[SwarmMember, ...]:
        """Everybody but this node, as far as it is known here and now."""
        return tuple(self._shown(member) for member in self._machine.members())

    def member(self, peer: str) -> SwarmMember | None:
        """One of them."""
        member = self._machine.member(peer)
        return None if member is None else self._shown(member)

    @property
    def place(self) -> Coordinate:
        """Where this node is in the space of round-trip times."""
        return self._place

    def watch(self, listener: SwarmListener) -> None:
        """Tell this one too."""
        self._listeners.append(listener)

    def refresh(self) -> None:
        """Our addresses or facts have changed: say so now."""
        if self._started:
            self._driver.post(Say(self._about()))

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        self._post(Connected(peer))

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        self._heard.pop(peer, None)
        self._post(Disconnected(peer, error is None))

    def peer_quiet(self, peer: str, seconds: float) -> None:
        self._post(Quiet(peer))

    def peer_alive(self, peer: str, rtt: float) -> None:
        self._heard[peer] = self._clock.seconds()
        self._post(Alive(peer))
        member = self._machine.member(peer)
        if member is not None and member.coordinate is not None:
            self._place = update(self._place, member.coordinate, rtt, self._rng)

    # What comes by gossip.

    def _check(self, sender: str, message: Any) -> None:
        said = open_statement(message.statement, self._network)
        if said is None:
            return
        signer = said.peer if isinstance(said, Claim) else said.accuser
        if signer != sender:
            raise PeerFault(f"{sender} passes a claim of {signer} off as new", code="signature_violation")
        if self._is_ahead(said):
            raise PeerFault("A member's sequence is ahead of the time", code="stale")
        self._opened[message.statement] = said
        if len(self._opened) > MAX_OPENED:
            self._opened.popitem(last=False)

    def _claimed(self, sender: str, heard: Any) -> None:
        said = self._opened.pop(heard.message.statement, None)
        if isinstance(said, Claim):
            self._post(Claimed(said))
        elif said is not None:
            self._post(Suspected(said))

    def _is_ahead(self, said: Claim | Suspicion) -> bool:
        return said.sequence > self._stamp() * 1000 + MAX_AHEAD_MS

    # What peers ask.

    def _probed(self, request: Any) -> Mapping[str, Any]:
        self._limit(request.peer)
        peer = request.message.peer
        heard = self._heard.get(peer)
        seconds = 0.0 if heard is None else self._clock.seconds() - heard
        return {"hears": self._machine.hears(peer), "seconds": seconds}

    def _viewed(self, request: Any) -> Mapping[str, Any]:
        self._limit(request.peer)
        said = request.message
        page, after = self._machine.view(request.peer, said.after, self._clock.seconds(), said.digest)
        return {"statements": page, "more": bool(after)}

    def _limit(self, peer: str) -> None:
        if self._askers.take(peer, self._clock.seconds()):
            raise Unavailable("You ask too often", code="too_many_requests", hint="Wait a minute.")

    # What the machine wants.

    def _effects(self) -> dict[type, Callable[[Any], None]]:
        return {
            PublishClaim: self._publish_claim,
            PublishSuspicion: self._publish_suspicion,
            AskView: self._questions.ask_view,
            AskProbe: self._questions.ask_probe,
            Reach: self._questions.reach,
            MemberJoined: lambda e: self._tell("member_joined", e.member),
            MemberChanged: lambda e: self._tell("member_changed", e.member),
            MemberLeft: lambda e: self._tell("member_left", e.member, e.why),
            Penalise: lambda e: self._penalise(e.peer, e.error),
        }

    def _publish_claim(self, effect: PublishClaim) -> None:
        about = effect.about
        statement = sign_claim(
            self._signer,
            self._network,
            sequence=effect.sequence,
            stamp=int(self._stamp()),
            left=effect.left,
            addresses=about.addresses,
            facts=about.facts,
            coordinate=about.coordinate,
        )
        self._driver.post(Said(statement))
        self._publish(statement)

    def _publish_suspicion(self, effect: PublishSuspicion) -> None:
        log.info("a member does not answer", peer=effect.peer)
        stamp = int(self._stamp())
        self._publish(sign_suspicion(self._signer, self._network, effect.peer, effect.sequence, stamp))

    def _publish(self, statement: bytes) -> None:
        try:
            self._broadcast.publish("member_claim", statement=statement)
        except SwarmnodeError as error:
            log.warning("a claim could not be published", code=error.code, reason=error.message)

    def _about(self) -> About:
        return About(self._host.addresses(), self._facts(), self._told)

    def _look(self) -> None:
        """Addresses come and go with interfaces; places move as round trips are measured."""
        now = self._clock.seconds()
        if now - self._told_at >= self._tell_after and worth_telling(self._told, self._place):
            self._told, self._told_at = self._place, now
            self._tell_after = min(self._tell_after * TELL_FACTOR, MOST_TELL_SECONDS)
        self._driver.post(Say(self._about()))
        self._timer = self._clock.callLater(LOOK_SECONDS, self._look)

    def _shown(self, member: Member) -> SwarmMember:
        rtt = self._host.rtt(member.peer)
        predicted = predict(self._place, member.coordinate) if member.coordinate is not None else None
        return SwarmMember(
            member.peer,
            member.addresses,
            "suspect" if member.suspected else "alive",
            predicted if rtt is None else rtt,
            rtt is not None,
            member.known.value,
            member.since,
            member.facts,
            member.sequence,
            member.heard,
        )

    def _tell(self, what: str, member: Member, *more: Any) -> None:
        shown = self._shown(member)
        for listener in list(self._listeners):
            try:
                getattr(listener, what)(shown, *more)
            except Exception as error:
                log.error("a listener to the swarm failed", exc_info=error)

    def _post(self, event: Any) -> None:
        if self._started:
            self._driver.post(event)

    def _failed(self, error: SwarmnodeError) -> None:
        log.error("membership has stopped", code=error.code, reason=error.message)
