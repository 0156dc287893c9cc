"""Telling the swarm, and hearing what others tell: signed messages over gossip.

    broadcast = Broadcast(gossip, signer, stamp, network="", entropy=os.urandom, penalise=trust.penalise)
    broadcast.on("nickname", lambda sender, heard: book.rename(sender, heard.message.nickname))
    broadcast.start()
    broadcast.publish("nickname", nickname="ada")

What comes is checked before it is passed on to others: seal of the private network, size, signature,
topic, age, replay, who it claims to be from, and what the listener itself has against it. Gossip has
proven who published it, and that must be who signed what is inside: whoever publishes what is wrong pays.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from structlog import get_logger

from swarmnode.policy.rate_limit import TokenBuckets
from swarmnode.protocols.gossipsub.vocabulary import Deliver, Validator, Verdict
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.epochs import EpochSealer
from swarmnode.protocols.swarm.ids import topic_name
from swarmnode.protocols.swarm.messages import KINDS, TOPICS, Kind
from swarmnode.protocols.swarm.replay import ReplayTable, Seen
from swarmnode.protocols.swarm.signed import SignedMessage, invalid, open_message, read_body, sign_message
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.peer_id import peer_id

log = get_logger("broadcast")

#: Messages that were checked and are about to be delivered.
MAX_READY = 256
#: Messages of one author in a minute, at once or evenly: everybody passes each of them on to several others.
#: A node says far less, but all of it at once after a start.
AUTHOR_A_MINUTE = 240


class GossipLike(Protocol):
    """The part of `services.gossip.Gossip` that is needed."""

    def subscribe(self, topic: str, validator: Validator, deliver: Callable[[Deliver], None]) -> None:
        """Take part in a topic. deliver: called with what was accepted."""

    def publish(self, topic: str, data: bytes) -> None:
        """Send it to all who take part."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One message from the swarm. message: decoded as the table says. carrier: who passed it to us. envelope:
    the signed bytes."""

    kind: str
    sender: str
    carrier: str
    stamp: int
    sequence: int
    message: Any
    envelope: bytes


Listener = Callable[[str, Heard], None]
#: Called as `check(sender, message)` before a message is accepted; raises `PeerFault` against it.
Check = Callable[[str, Any], None]


class Broadcast:
    """signer: our key. stamp: Unix seconds. penalise: told when a peer broke the rules. Sequences count in
    milliseconds of our clock, so that they are higher after a restart."""

    def __init__(
        self,
        gossip: GossipLike,
        signer: Signer,
        stamp: Callable[[], float],
        *,
        network: str = "",
        entropy: Callable[[int], bytes],
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self._gossip, self._signer, self._stamp = gossip, signer, stamp
        self._network, self._penalise, self._kinds = network, penalise, kinds
        self._me = peer_id(signer.public_key)
        self._sealer = EpochSealer(network, entropy) if network else None
        self._listeners: dict[str, list[Listener]] = {}
        self._checks: dict[str, Check] = {}
        self._replays = ReplayTable()
        self._ready: OrderedDict[bytes, tuple[SignedMessage, Any]] = OrderedDict()
        self._sequence = 0
        self._authors, self._floods = TokenBuckets(AUTHOR_A_MINUTE), TokenBuckets(1)
        self._counts = {"published": 0} | {verdict.value: 0 for verdict in Verdict}

    def start(self) -> None:
        """Take part in all topics."""
        for subject in TOPICS:
            topic = topic_name(subject, self._network)
            self._gossip.subscribe(topic, self._validator(topic), self._deliver)

    def on(self, kind: str, listener: Listener, check: Check | None = None) -> None:
        """Call `listener(sender, heard)` with each message of a kind. check: one a kind."""
        if self._kinds[kind].is_request or (check is not None and kind in self._checks):
            raise ValueError(f"{kind} is no gossip, or has a check")
        self._listeners.setdefault(kind, []).append(listener)
        if check is not None:
            self._checks[kind] = check

    def publish(self, kind: str, /, **fields: Any) -> bytes:
        """Tell the swarm; the sender's field is filled in. Returns the signed envelope. Raises `Refused` when
        the message is too long."""
        row = self._kinds[kind]
        if not row.topic:
            raise ValueError(f"{kind} is no gossip")
        message = row.new(**{row.sender: self._me, **fields} if row.sender else fields)
        topic, stamp = topic_name(row.topic, self._network), self._stamp()
        self._sequence = max(self._sequence + 1, int(stamp * 1000))
        body = message.SerializeToString(deterministic=True)
        envelope = sign_message(self._signer, row, topic, body, stamp=int(stamp), sequence=self._sequence)
        self._gossip.publish(topic, self._sealer.seal(topic, envelope, stamp) if self._sealer else envelope)
        self._counts["published"] += 1
        return envelope

    def stats(self) -> Mapping[str, int]:
        """Counts since the start: what was published, and what became of the rest."""
        return dict(self._counts)

    def _validator(self, topic: str) -> Validator:
        def validate(source: str, data: bytes) -> Verdict:
            verdict = self._judge(topic, source, data)
            self._counts[verdict.value] += 1
            return verdict

        return validate

    def _judge(self, topic: str, source: str, data: bytes) -> Verdict:
        if self._authors.take(source, self._stamp()):
            return self._flooded(source)
        try:
            signed = self._open(topic, source, data)
            kind = self._kinds.get(signed.kind)
            body = None if kind is None else self._read(kind, signed)
            self._fresh(signed)
        except PeerFault as error:
            return self._blame(source, error)
        # A kind that is not known here was signed and sent in order: others may know it.
        if kind is not None:
            self._ready[data] = (signed, body)
            if len(self._ready) > MAX_READY:
                self._ready.popitem(last=False)
        return Verdict.ACCEPT

    def _flooded(self, source: str) -> Verdict:
        """Nobody who passes it on is to blame: they may have counted a little less. The author is, once a
        minute."""
        if not self._floods.take(source, self._stamp()):
            error = PeerFault(
                f"{source} says more than {AUTHOR_A_MINUTE} things a minute to the swarm", code="gossip_flood"
            )
            log.info("gossip was refused", source=source, code=error.code, reason=error.message)
            self._penalise(source, error)
        return Verdict.IGNORE

    def _open(self, topic: str, source: str, data: bytes) -> SignedMessage:
        stamp = self._stamp()
        signed = open_message(self._sealer.open(topic, data, stamp) if self._sealer else data, topic, stamp)
        if signed.sender != source:
            raise PeerFault(f"{source} publishes what {signed.sender} signed", code="signature_violation")
        return signed

    def _read(self, kind: Kind, signed: SignedMessage) -> Any:
        if topic_name(kind.topic, self._network) != signed.topic:
            raise invalid(f"a {kind.name} on {signed.topic}")
        body = read_body(signed, kind)
        check = self._checks.get(kind.name)
        if check is not None:
            check(signed.sender, body)
        return body

    def _fresh(self, signed: SignedMessage) -> None:
        """Last of all, so that what is not genuine leaves no trace."""
        # One window for all kinds that are not known: a sender can make up as many as it likes.
        kind = signed.kind if signed.kind in self._kinds else ""
        seen = self._replays.take((signed.sender, kind), signed.sequence)
        if seen is Seen.AGAIN:
            raise PeerFault(f"A {signed.kind} was sent again", code="replayed")
        if seen is Seen.BEHIND:
            raise PeerFault(f"A {signed.kind} comes long after newer ones", code="stale")

    def _blame(self, source: str, error: PeerFault) -> Verdict:
        """Old messages, and those that come again, may have been kept by somebody else: they go no further,
        and are held against nobody."""
        log.info("gossip was refused", source=source, code=error.code, reason=error.message)
        if error.code in ("stale", "replayed"):
            return Verdict.IGNORE
        self._penalise(source, error)
        return Verdict.REJECT

    def _deliver(self, accepted: Deliver) -> None:
        ready = self._ready.pop(accepted.data, None)
        if ready is None:
            return
        signed, message = ready
        heard = Heard(
            signed.kind,
            signed.sender,
            accepted.peer,
            signed.stamp,
            signed.sequence,
            message,
            signed.envelope,
        )
        for listener in self._listeners.get(signed.kind, []):
            self._tell(listener, heard)

    def _tell(self, listener: Listener, heard: Heard) -> None:
        try:
            listener(heard.sender, heard)
        except Exception as error:
            log.error("a listener to gossip failed", kind=heard.kind, exc_info=error)
