"""The RPC of pubsub and gossipsub as protobuf (libp2p specs, pubsub: The RPC; gossipsub v1.0 and v1.1,
Protobuf): reading with bounds, and writing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from swarmnode.protocols.gossipsub.parameters import (
    MAX_BACKOFF,
    MAX_ENTRIES,
    MAX_EXCHANGED,
    MAX_ID_BYTES,
    MAX_IHAVE_ENTRIES,
    MAX_IWANT_ENTRIES,
    MAX_RECORD_BYTES,
    MAX_RPC_BYTES,
    MAX_TOPIC_BYTES,
)
from swarmnode.protocols.identity.fields import encode_fields
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import peer_id_bytes, peer_id_text

PUBSUB = schema(
    "pubsub",
    Rpc={"subscriptions": "1 repeated SubOpts", "publish": "2 repeated Message", "control": "3 Control"},
    SubOpts={"subscribe": "1 bool", "topic": "2 string"},
    Message={
        "from": "1 bytes",
        "data": "2 bytes",
        "seqno": "3 bytes",
        "topic": "4 string",
        "signature": "5 bytes",
        "key": "6 bytes",
    },
    Control={
        "ihave": "1 repeated IHave",
        "iwant": "2 repeated IWant",
        "graft": "3 repeated Graft",
        "prune": "4 repeated Prune",
    },
    IHave={"topic": "1 string", "ids": "2 repeated bytes"},
    IWant={"ids": "1 repeated bytes"},
    Graft={"topic": "1 string"},
    Prune={"topic": "1 string", "peers": "2 repeated PeerInfo", "backoff": "3 uint64"},
    PeerInfo={"peer": "1 bytes", "record": "2 bytes"},
)
_PUBLISH = 2


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A peer that another tells about in a PRUNE. record: a signed envelope, not checked yet, or None."""

    peer: str
    record: bytes | None


@dataclass(frozen=True, slots=True)
class Prune:
    """backoff: seconds, None where the peer names none (v1.0)."""

    topic: str
    exchanged: tuple[Exchanged, ...] = ()
    backoff: float | None = None


@dataclass(frozen=True, slots=True)
class Rpc:
    """What one RPC says. messages: protobuf `Message`s, as they came; ihave: topic and ids."""

    subscriptions: tuple[tuple[str, bool], ...] = ()
    messages: Sequence[Any] = ()
    ihave: tuple[tuple[str, tuple[bytes, ...]], ...] = ()
    iwant: tuple[tuple[bytes, ...], ...] = ()
    graft: tuple[str, ...] = ()
    prune: tuple[Prune, ...] = ()


def read_rpc(data: bytes) -> Rpc:
    """Raises `PeerFault`: `bad_message` when it is no RPC or too long, `too_many` when it holds more of one
    kind than anybody needs. IHAVE and IWANT entries beyond a heartbeat's share are not even looked at."""
    if len(data) > MAX_RPC_BYTES:
        raise PeerFault(
            f"A gossip RPC has {len(data)} bytes, {MAX_RPC_BYTES} are allowed", code="bad_message"
        )
    raw = parse(PUBSUB.Rpc, data, "A gossip RPC")
    control = raw.control
    for entries in (raw.subscriptions, raw.publish, control.graft, control.prune):
        if len(entries) > MAX_ENTRIES:
            raise PeerFault(
                f"A gossip RPC holds {len(entries)} entries of one kind, {MAX_ENTRIES} are allowed",
                code="too_many",
            )
    return Rpc(
        tuple((s.topic, s.subscribe) for s in raw.subscriptions if _is_topic(s.topic)),
        raw.publish,
        tuple((i.topic, _ids(i.ids)) for i in control.ihave[:MAX_IHAVE_ENTRIES] if _is_topic(i.topic)),
        tuple(_ids(i.ids) for i in control.iwant[:MAX_IWANT_ENTRIES]),
        tuple(g.topic for g in control.graft if _is_topic(g.topic)),
        tuple(_prune(p) for p in control.prune if _is_topic(p.topic)),
    )


def _is_topic(topic: str) -> bool:
    return 0 < len(topic) <= MAX_TOPIC_BYTES


def _ids(ids: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(i for i in ids[:MAX_ENTRIES] if 0 < len(i) <= MAX_ID_BYTES)


def _prune(raw: Any) -> Prune:
    exchanged = (_exchanged(info) for info in raw.peers[:MAX_EXCHANGED])
    backoff = min(float(raw.backoff), MAX_BACKOFF) if raw.HasField("backoff") else None
    return Prune(raw.topic, tuple(e for e in exchanged if e is not None), backoff)


def _exchanged(info: Any) -> Exchanged | None:
    try:
        peer = peer_id_text(info.peer)
    except Refused:
        return None
    return Exchanged(peer, info.record if 0 < len(info.record) <= MAX_RECORD_BYTES else None)


def publish_field(encoded: bytes) -> bytes:
    """A message as a field of an RPC; several after each other are an RPC of several messages."""
    return encode_fields([(_PUBLISH, encoded)])


def control_rpc(
    *,
    ihave: Iterable[tuple[str, Sequence[bytes]]] = (),
    iwant: Sequence[bytes] = (),
    graft: Iterable[str] = (),
    prune: Iterable[Prune] = (),
    subscriptions: Iterable[tuple[str, bool]] = (),
) -> bytes:
    """An RPC of control messages, and of subscriptions where they go together."""
    rpc = PUBSUB.Rpc()
    for topic, subscribe in subscriptions:
        rpc.subscriptions.add(subscribe=subscribe, topic=topic)
    for topic, ids in ihave:
        rpc.control.ihave.add(topic=topic, ids=ids)
    if iwant:
        rpc.control.iwant.add(ids=iwant)
    for topic in graft:
        rpc.control.graft.add(topic=topic)
    for entry in prune:
        backoff = None if entry.backoff is None else int(entry.backoff)
        raw = rpc.control.prune.add(topic=entry.topic, backoff=backoff)
        for known in entry.exchanged:
            raw.peers.add(peer=peer_id_bytes(known.peer), record=known.record)
    return bytes(rpc.SerializeToString())
