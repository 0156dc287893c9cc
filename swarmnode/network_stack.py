"""The peer-to-peer network of a node, joined from its parts: used alike by the node, by the simulator and by
the tests against other implementations.

Read `build_network` from top to bottom to see the layers: the book of peers and the host below, then who
is there (identify, hello), how words travel (requests, gossip), what is known together (the swarm, the
DHT), and how peers are found. Given the same clock, carriers and chance, everything happens the same way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred

from swarmnode import __version__
from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host
from swarmnode.network.host import NetworkHost
from swarmnode.network.probing import Probe
from swarmnode.policy.finding import may_use
from swarmnode.policy.trust import STRANGER, Vouch, vouched_by
from swarmnode.protocols.identify import peer_exchange
from swarmnode.protocols.swarm.hello import NAME as HELLO
from swarmnode.protocols.swarm.hello import Hello, digest_of
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.services.administer_network import AdministerNetwork
from swarmnode.services.broadcast import Broadcast
from swarmnode.services.count_events import CountFaults, CountMembers
from swarmnode.services.examine_network import ExamineNetwork
from swarmnode.services.exchange_peers import ExchangePeers, Found
from swarmnode.services.explain_meeting import ExplainMeeting
from swarmnode.services.find_peers import FindPeers
from swarmnode.services.gossip import Gossip
from swarmnode.services.greet_again import GreetAgain
from swarmnode.services.identify_peers import IdentifyPeers
from swarmnode.services.invite import Invites
from swarmnode.services.join_network import JoinNetwork
from swarmnode.services.keep_dht import Dht
from swarmnode.services.keep_known_peers import KeepKnownPeers
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.services.keep_trust import KeepTrust
from swarmnode.services.measure_bandwidth import MeasureBandwidth
from swarmnode.services.ping_peers import PingPeers
from swarmnode.services.prove_network import NetworkProof
from swarmnode.services.report_peers import ReportPeers
from swarmnode.services.run_together import RunTogether
from swarmnode.services.say_hello import SayHello
from swarmnode.services.seal_payloads import SealPayloads
from swarmnode.services.talk_to_peers import PeerTalk
from swarmnode.services.track_swarm import TrackSwarm
from swarmnode.services.watch_round_trips import WatchRoundTrips
from swarmnode.values.errors import Refused, SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings

SOFTWARE = f"swarmnode/{__version__}"
#: Points of gossip's peer score (P5) for a whole point of trust.
TRUST_POINTS = 20.0

Entropy = Callable[[int], bytes]
#: Makes the searches of discovery plug-ins: called with the host and `found(peer, addresses, how)`.
Searches = Callable[[Host, Found], Sequence[Any]]


def _nothing() -> tuple[Any, ...]:
    return ()


def _forget(*what: Any) -> None:
    """Where nothing is stored."""


def _refuse(*what: Any) -> bool:
    """Where no invite was kept, none is good."""
    return False


@dataclass(frozen=True, slots=True)
class NetworkStores:
    """What outlives the node, as functions that may return a Deferred."""

    load_trust: Callable[[], Any] = _nothing
    save_trust: Callable[..., Any] = _forget
    load_known: Callable[[], Any] = _nothing
    save_known: Callable[..., Any] = _forget
    add_invite: Callable[..., Any] = _forget
    use_invite: Callable[..., Any] = _refuse


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a node's network needs of the world. stamp: Unix seconds. entropy: n random bytes. listen:
    where, instead of the settings' address and port. interfaces: the machine's addresses. profiles: the
    numerics profiles that the node can compute in now."""

    clock: Clock
    stamp: Callable[[], float]
    rng: random.Random
    entropy: Entropy
    log: Any
    stores: NetworkStores = field(default_factory=NetworkStores)
    resolve: Any = None
    listen: Sequence[Multiaddr] | None = None
    interfaces: Callable[[], Sequence[str]] | None = None
    searches: Searches = lambda host, found: ()
    profiles: Callable[[], Sequence[str]] = _nothing


@dataclass(frozen=True, slots=True)
class NetworkStack:
    """The parts, for whoever needs one. running: starts and stops them together."""

    host: NetworkHost
    book: PeerBook
    trust: KeepTrust
    identify: IdentifyPeers
    pings: PingPeers
    bandwidth: MeasureBandwidth
    hello: SayHello
    talk: PeerTalk
    sealing: SealPayloads
    gossip: Gossip
    broadcast: Broadcast
    swarm: TrackSwarm
    dht: Dht
    finder: FindPeers
    known: KeepKnownPeers
    exchange: ExchangePeers | None
    searches: tuple[Any, ...]
    invites: Invites
    trips: WatchRoundTrips
    faults: CountFaults
    churn: CountMembers
    carriers: tuple[Any, ...]
    admin: AdministerNetwork
    running: RunTogether

    def start(self) -> Deferred[None]:
        """Listen, then take part. Fails with a `SwarmnodeError` where the node cannot listen, and then
        nothing runs. A stack is started once."""
        return self.running.start()

    def stop(self) -> Deferred[None]:
        """Take leave and end everything; what is to be kept is saved."""
        return self.running.stop()

    def release(self) -> None:
        """Give back what the transports hold although the network was never started, as a reserved port."""
        release(self.carriers)


def release(carriers: Sequence[Any]) -> None:
    """The same for transports alone."""
    for carrier in carriers:
        getattr(carrier, "release", _nothing)()


def build_network(
    identity: Any, carriers: Sequence[Any], settings: NetworkSettings, world: Surroundings
) -> NetworkStack:
    """Join the parts. identity: `peer_id`, `public_key` and `sign`, as `storage.identity.Identity`."""
    clock, stamp, log, network = world.clock, world.stamp, world.log, settings.network_id
    book = PeerBook(identity.peer_id, clock.seconds, lambda: host.addresses())
    gate = NetworkProof(network, clock) if network else None
    host = NetworkHost(
        identity,
        carriers,
        clock,
        world.rng,
        settings,
        book.addresses,
        log,
        gate=gate,
        resolve=world.resolve,
        listen=world.listen,
        bars=lambda peer: barred(book, peer, offline=settings.offline),
        **({} if world.interfaces is None else {"interfaces": world.interfaces}),
    )
    host.watch(book)
    trips = WatchRoundTrips(host, clock.seconds)
    stores = world.stores
    trust = KeepTrust(
        host, clock, stamp, stores.load_trust, stores.save_trust, log, vouched=vouched_by(settings)
    )
    penalise = CountFaults(trust.penalise)
    host.watch(penalise)

    identify = IdentifyPeers(host, book, clock, identity, stamp, __version__, penalise)
    greeting = _greeting(host, lambda: talk.features_served(), world.profiles)
    hello = SayHello(host, clock, stamp, greeting, network, penalise=penalise)
    pings = PingPeers(host, clock, world.entropy)
    talk = PeerTalk(host, clock, network, penalise=penalise, features=hello.features)
    sealing = SealPayloads(host, talk, clock, identity, stamp, world.entropy, penalise=penalise)

    bandwidth = MeasureBandwidth(host, clock, network, penalise)

    gossip = Gossip(
        host,
        clock,
        world.rng,
        identity.sign,
        int(stamp() * 1e9),
        log,
        penalise=penalise,
        standing=lambda peer: standing(trust.score(peer)),
        record_of=lambda peer: _record(book, peer),
    )
    trust.watch(lambda peer, score: gossip.regard(peer, standing(score)))
    broadcast = Broadcast(gossip, identity, stamp, network=network, entropy=world.entropy, penalise=penalise)
    swarm = TrackSwarm(
        host,
        clock,
        world.rng,
        stamp,
        identity,
        broadcast,
        talk,
        network=network,
        facts=lambda: digest_of(greeting(0)),
        penalise=penalise,
    )
    swarm.watch(GreetAgain(hello.ask_again))
    churn = CountMembers()
    swarm.watch(churn)
    dht = Dht(
        host,
        clock,
        world.rng,
        stamp,
        protocol_id("kad/1", network),
        addresses_of=book.addresses,
        add_addresses=lambda peer, addresses: book.heard(peer, addresses, "dht"),
        public_key=identity.public_key,
        sign=identity.sign,
        penalise=penalise,
        failed=lambda error: log.error("the DHT has ended", reason=error.message),
    )
    book.watch(lambda peer: _tell(dht, book, peer))

    finder = FindPeers(host, book, settings, clock, world.rng, log)
    known = KeepKnownPeers(book, stores.load_known, stores.save_known, finder.found, clock, stamp, log)
    exchange = ExchangePeers(
        host, book, finder.found, protocol_id(peer_exchange.NAME, network), clock, world.rng, penalise
    )
    exchanges = (exchange,) if settings.peer_exchange else ()
    searches = tuple(world.searches(host, finder.found))
    invites = Invites(
        host,
        talk,
        lambda peer: trust.vouch(peer, Vouch.INVITE),
        stores.add_invite,
        stores.use_invite,
        clock,
        stamp,
        world.entropy,
        finder.found,
    )
    admin = AdministerNetwork(
        host,
        ReportPeers(host, book, trips, hello, swarm, trust.score, clock.seconds, stamp),
        JoinNetwork(host, invites, settings, finder.found, known.save, clock),
        invites,
        ExamineNetwork(
            host, settings, trips, hello, pings.ping, bandwidth.measure, identify.seen_as, clock.seconds
        ).examine,
        ExplainMeeting(
            host,
            book,
            clock,
            Probe(carriers, gate, clock),
            world.resolve,
            (protocol_id(HELLO, network),),
            hello.facts,
        ).explain,
    )
    order = (trust, host, identify, pings, bandwidth, hello, talk, sealing, gossip, broadcast, swarm, dht)
    running = RunTogether((*order, *exchanges, finder, known, invites), log, optional=searches)
    return NetworkStack(
        host=host,
        book=book,
        trust=trust,
        identify=identify,
        pings=pings,
        bandwidth=bandwidth,
        hello=hello,
        talk=talk,
        sealing=sealing,
        gossip=gossip,
        broadcast=broadcast,
        swarm=swarm,
        dht=dht,
        finder=finder,
        known=known,
        exchange=exchange if settings.peer_exchange else None,
        searches=searches,
        invites=invites,
        trips=trips,
        faults=penalise,
        churn=churn,
        carriers=tuple(carriers),
        admin=admin,
        running=running,
    )


def barred(book: PeerBook, peer: str | None, *, offline: bool) -> SwarmnodeError | None:
    """In offline mode nobody dials a peer that mDNS has not found, whoever else names it: the DHT, gossip,
    members of the swarm."""
    facts = book.facts(peer) if peer is not None else None
    if may_use("" if facts is None else facts.how, offline=offline):
        return None
    return Refused(
        "In offline mode only peers that mDNS found are dialled",
        code="offline_mode",
        hint="Set pool.offline_mode = false and start the node again.",
    )


def standing(trust: float) -> float:
    """What gossip makes of a peer's trust: nothing for a stranger."""
    return TRUST_POINTS * (trust - STRANGER)


def _greeting(
    host: Host, features: Callable[[], frozenset[str]], profiles: Callable[[], Sequence[str]]
) -> Callable[[int], Hello]:
    return lambda stamp_ms: Hello(SOFTWARE, features(), tuple(profiles()), stamp_ms, host.addresses())


def _record(book: PeerBook, peer: str) -> bytes | None:
    facts = book.facts(peer)
    return facts.record or None if facts is not None else None


def _tell(dht: Dht, book: PeerBook, peer: str) -> None:
    facts = book.facts(peer)
    if facts is not None and facts.connected and facts.protocols:
        dht.identified(peer, facts.protocols)
