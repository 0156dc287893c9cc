"""Telling who is there: the peers of the admin API, from the parts that each know something of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from swarmnode.interfaces.host import Host
from swarmnode.policy.addresses import is_link_local, is_loopback, is_private
from swarmnode.policy.peer_book import PeerFacts
from swarmnode.services.say_hello import PeerFacts as Greeted
from swarmnode.services.track_swarm import SwarmMember
from swarmnode.services.watch_round_trips import WatchRoundTrips
from swarmnode.values.multiaddr import Multiaddr

#: Peers that are told of at once, and addresses of each.
MAX_SHOWN, MAX_ADDRESSES = 1000, 8
OUR_AGENT = "swarmnode/"
ALIVE = "alive"


class Book(Protocol):
    """The part of `services.keep_peer_book.PeerBook` that is needed."""

    def facts(self, peer: str) -> PeerFacts | None: ...

    def addresses(self, peer: str) -> tuple[Multiaddr, ...]: ...


class Greetings(Protocol):
    """The part of `services.say_hello.SayHello` that is needed."""

    def facts(self, peer: str) -> Greeted | None: ...


class Swarm(Protocol):
    """The part of `services.track_swarm.TrackSwarm` that is needed."""

    def members(self) -> tuple[SwarmMember, ...]: ...


class ReportPeers:
    """score: trust in a peer, 0 to 1. vouches: why it is vouched for. now: monotonic, stamp: Unix seconds."""

    def __init__(
        self,
        host: Host,
        book: Book,
        trips: WatchRoundTrips,
        hello: Greetings,
        swarm: Swarm,
        score: Callable[[str], float],
        now: Callable[[], float],
        stamp: Callable[[], float],
    ) -> None:
        self._host, self._book, self._trips, self._hello, self._swarm = host, book, trips, hello, swarm
        self._score, self._now, self._stamp = score, now, stamp

    def peers(self) -> list[dict[str, Any]]:
        """Those connected, then those that the swarm has heard alive; never this node. At most `MAX_SHOWN`.
        Whoever is known by its own word alone is left out: anybody can make up names."""
        members = {member.peer: member for member in self._swarm.members()}
        connected = self._host.peers()
        shown = [self._connected(peer, members.pop(peer, None)) for peer in connected[:MAX_SHOWN]]
        others = [member for member in members.values() if member.heard and member.peer not in connected]
        return shown + [self._member(member) for member in others[: MAX_SHOWN - len(shown)]]

    def _connected(self, peer: str, member: SwarmMember | None) -> dict[str, Any]:
        links, trips, now = self._host.links(peer), self._trips.of(peer), self._now()
        answer = self._known(peer, self._book.addresses(peer), healthy=trips is None or not trips.quiet)
        answer["connected"] = True
        if links:
            answer |= {
                "is_lan_peer": any(is_near(link.remote) for link in links),
                "connected_seconds": round(now - min(link.since for link in links), 1),
                "transport": links[0].transport,
                "inbound": links[0].inbound,
                "connections": len(links),
            }
        if (rtt := self._host.rtt(peer)) is not None:
            answer["latency_ms"] = milliseconds(rtt)
        if trips is not None:
            # Who is not quiet has been heard in the last seconds.
            silence = 0.0 if trips.silent_since is None else now - trips.silent_since
            answer["last_seen"] = round(self._stamp() - silence, 3)
            if trips.least is not None:
                answer["measured_min_rtt_ms"] = milliseconds(trips.least)
            answer["rtt_samples"] = trips.samples
        # Nobody noted how it was found: it was reached because the swarm knows it, or the DHT does.
        answer.setdefault("how_found", "gossip")
        if member is not None and not member.measured and member.rtt is not None:
            answer["predicted_rtt_ms"] = milliseconds(member.rtt)
        if (greeted := self._hello.facts(peer)) is not None:
            answer["clock_skew_seconds"] = round(greeted.skew, 3)
        return answer

    def _member(self, member: SwarmMember) -> dict[str, Any]:
        answer = self._known(member.peer, member.addresses, healthy=member.state == ALIVE)
        answer["connected"] = False
        answer.setdefault("how_found", "gossip")
        if member.rtt is not None:
            answer["predicted_rtt_ms"] = milliseconds(member.rtt)
        return answer

    def _known(self, peer: str, addresses: Iterable[Multiaddr], *, healthy: bool) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "node_id": peer,
            "healthy": healthy,
            "trust_score": round(self._score(peer), 4),
            "hosted_models": [],
            "hosted_shards": 0,
            "addresses": [str(one.with_peer(peer)) for one in tuple(addresses)[:MAX_ADDRESSES]],
        }
        facts = self._book.facts(peer)
        if facts is None:
            return answer
        if facts.how:
            answer["how_found"] = facts.how
        if facts.agent:
            answer["agent"] = facts.agent
        if facts.agent.startswith(OUR_AGENT):
            answer["version"] = facts.agent.removeprefix(OUR_AGENT)
        return answer


def milliseconds(seconds: float) -> float:
    """Rounded to microseconds."""
    return round(seconds * 1000, 3)


def is_near(address: Multiaddr) -> bool:
    """Whether a connection from there stays in the house."""
    return is_private(address) or is_link_local(address) or is_loopback(address)
