"""Peer exchange: the question for other peers, and the answer, each one framed protobuf message.

    Question { limit = 1 }      Answer { peers = 1: { id = 1, addresses = 2, record = 3 } }

A peer's signed record says more than its addresses, so these are sent only where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmnode.protocols.identify.messages import read_addresses
from swarmnode.protocols.identify.peer_record import MAX_RECORD_BYTES, own_addresses
from swarmnode.protocols.wire.framing import Frames, framed
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id_bytes, peer_id_text

#: With `protocols.swarm.ids.protocol_id`.
NAME = "exchange/1"
MAX_PEERS = 20
MAX_ADDRESSES = 16
MAX_QUESTION_BYTES = 64
MAX_ANSWER_BYTES = 64 * 1024

_WIRE = schema(
    "peer_exchange",
    Question={"limit": "1 uint32"},
    Peer={"id": "1 bytes", "addresses": "2 repeated bytes", "record": "3 bytes"},
    Answer={"peers": "1 repeated Peer"},
)


@dataclass(frozen=True, slots=True)
class TradedPeer:
    """A peer that another one knows. record: its signed envelope, or empty; unopened."""

    peer: str
    addresses: tuple[Multiaddr, ...] = ()
    record: bytes = field(default=b"", repr=False)


def encode_question(limit: int = MAX_PEERS) -> bytes:
    """The framed question for at most `limit` peers."""
    return framed(_WIRE.Question(limit=limit).SerializeToString())


def encode_answer(peers: Sequence[TradedPeer]) -> bytes:
    """The framed answer: the first peers that find room in it."""
    answer = _WIRE.Answer()
    for traded in peers[:MAX_PEERS]:
        entry = _WIRE.Peer(id=peer_id_bytes(traded.peer), record=traded.record)
        if not traded.record:
            entry.addresses.extend(address.to_bytes() for address in traded.addresses[:MAX_ADDRESSES])
        # Six bytes: the entry's own tag and length.
        if answer.ByteSize() + entry.ByteSize() + 6 > MAX_ANSWER_BYTES:
            break
        answer.peers.append(entry)
    return framed(answer.SerializeToString())


class _OneMessage:
    """Reads exactly one framed message."""

    def __init__(self, limit: int, name: str) -> None:
        self._frames, self._name = Frames(limit, name), name
        self._message: bytes | None = None

    def feed(self, data: bytes) -> bool:
        """Take bytes; whether the message is complete. Raises `PeerFault` for more than one message."""
        for message in self._frames.feed(data):
            if self._message is not None:
                raise PeerFault(f"{self._name}: more than one message was sent", code="bad_message")
            self._message = message
        if self._message is not None and self._frames.pending:
            raise PeerFault(f"{self._name}: something comes after the message", code="bad_message")
        return self._message is not None

    def _whole(self) -> bytes:
        if self._message is None:
            raise PeerFault(f"{self._name}: the message ended too early", code="bad_message")
        return self._message


class QuestionReader(_OneMessage):
    """Reads a question."""

    def __init__(self) -> None:
        super().__init__(MAX_QUESTION_BYTES, "peer exchange")

    def finish(self) -> int:
        """How many peers are asked for, 0 to `MAX_PEERS`. Raises `PeerFault`."""
        question = parse(_WIRE.Question, self._whole(), "A question for peers")
        return min(question.limit, MAX_PEERS) if question.HasField("limit") else MAX_PEERS


class AnswerReader(_OneMessage):
    """Reads an answer."""

    def __init__(self) -> None:
        super().__init__(MAX_ANSWER_BYTES, "peer exchange")

    def finish(self) -> tuple[TradedPeer, ...]:
        """The peers told about, each once. Raises `PeerFault`, also for more than may be told."""
        answer = parse(_WIRE.Answer, self._whole(), "An answer with peers")
        if len(answer.peers) > MAX_PEERS:
            raise PeerFault(
                f"peer exchange: {len(answer.peers)} peers were told, {MAX_PEERS} are allowed",
                code="oversized_message",
            )
        found: dict[str, TradedPeer] = {}
        for entry in answer.peers:
            try:
                peer = peer_id_text(entry.id)
            except Refused as error:
                raise PeerFault(f"peer exchange: {error.message}", code="bad_message") from error
            addresses = own_addresses(peer, read_addresses(entry.addresses, MAX_ADDRESSES))
            record = entry.record if len(entry.record) <= MAX_RECORD_BYTES else b""
            found.setdefault(peer, TradedPeer(peer, addresses, record))
        return tuple(found.values())
