"""The gate of a private network: both sides of a connection prove that they know its name.

The dialling side opens a stream for the proof and sends 32 bytes that only a node of the network can compute,
for this connection and this role (`protocols.swarm.ids`). The listening side checks them, answers with its
own 32 bytes and ends; the dialling side checks those and ends, which tells the other that it is let in.
A stream of another protocol tells the same.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Connection, Stream, StreamReceiver
from swarmnode.protocols.swarm.ids import PROOF_NAME, network_proof, protocol_id
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError

PROOF_BYTES = 32
#: How long the proof may take.
PROOF_SECONDS = 5.0
#: How a stream ends that the peer does not take: it says so, or drops what comes behind the offer.
REFUSALS = frozenset(("protocol_unsupported", "stream_reset", "bad_negotiation"))

Settled = Callable[[SwarmnodeError | None], None]


class NetworkProof:
    """An `interfaces.host.Gate` for a private network. network: its name, not empty."""

    def __init__(self, network: str, clock: Clock) -> None:
        self._network, self._clock = network, clock
        self.protocol = protocol_id(PROOF_NAME, network)

    def admit(self, connection: Connection, settled: Settled) -> Proving:
        """See `interfaces.host.Gate`."""
        info = connection.info
        proving = Proving(
            self.protocol,
            ours=network_proof(self._network, info.handshake_hash, dialer=not info.inbound),
            theirs=network_proof(self._network, info.handshake_hash, dialer=info.inbound),
            inbound=info.inbound,
            settled=settled,
        )
        proving.begin(connection, self._clock)
        return proving


class Proving:
    """The proof on one connection; takes what comes on its stream."""

    def __init__(self, protocol: str, *, ours: bytes, theirs: bytes, inbound: bool, settled: Settled) -> None:
        self._protocol, self._ours, self._theirs, self._inbound = protocol, ours, theirs, inbound
        self._settled: Settled | None = settled
        self._stream: Stream | None = None
        self._received = b""
        self._timer: DelayedCall | None = None
        self.verified = False

    def begin(self, connection: Connection, clock: Clock) -> None:
        """Start the clock; the dialling side sends its proof."""
        self._timer = clock.callLater(PROOF_SECONDS, self._late)
        if not self._inbound:
            self._stream = connection.open((self._protocol,), self, lambda: None)
            self._stream.write(self._ours)

    def serves(self) -> Collection[str]:
        return (self._protocol,) if self._inbound and self._stream is None else ()

    def stream_opened(self, stream: Stream) -> StreamReceiver:
        if not self._inbound or self._stream is not None:
            raise Refused("The network is proven once a connection", code="proof_repeated")
        self._stream = stream
        return self

    def confirm(self) -> None:
        if self.verified:
            self._settle(None)

    def cancel(self) -> None:
        self._settled = None
        self._stop_timer()

    # What comes on the stream.

    def received(self, data: bytes) -> None:
        if self.verified or self._settled is None or self._stream is None:
            return
        self._received += data[: PROOF_BYTES + 1]
        if len(self._received) < PROOF_BYTES:
            return
        if not hmac.compare_digest(self._received, self._theirs):
            self._settle(other_network("its proof of the network's name is wrong"))
            return
        self.verified = True
        if self._inbound:
            self._stream.write(self._ours)
        self._stream.end()
        if not self._inbound:
            self._settle(None)

    def ended(self) -> None:
        if self.verified:
            self._settle(None)
        else:
            self._settle(other_network("it ended its proof too early"))

    def lost(self, error: SwarmnodeError | None) -> None:
        if self.verified and error is None:
            self._settle(None)
        elif error is None or error.code in REFUSALS:
            self._settle(other_network("it does not know this network"))
        else:
            self._settle(error)  # the connection broke, for which the peer is not to blame

    def drained(self) -> None:
        pass

    def _late(self) -> None:
        self._settle(other_network(f"it proved nothing within {PROOF_SECONDS:.0f} s"))

    def _settle(self, error: SwarmnodeError | None) -> None:
        settled, self._settled = self._settled, None
        self._stop_timer()
        if settled is not None:
            settled(error)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()


def other_network(what: str) -> PeerFault:
    """The peer is not of this network."""
    return PeerFault(
        f"The peer is of another network, or of the public one: {what}",
        code="other_network",
        hint="Nodes of a private network all have the same network.gossip_network_id.",
    )
