"""Finding peers on the link (libp2p specs, discovery/mdns; RFC 6762; RFC 6763).

Who starts asks (PTR of the service), and announces itself unasked, so that two nodes meet whichever was
first; both are repeated, as packets get lost. An answer is a PTR to this node's random name, with a TXT
record that holds its addresses, several `dnsaddr=` strings. All is sent by multicast, so nobody can have
this node send to a third party.

Asking again: everybody hears everybody's answers, so one node's question serves all on the link, and whoever
hears one puts off its own (RFC 6762 section 7.3). That makes a question a minute on the whole link, whatever
the number of nodes; with 50 of them some 400 bytes a second. A minute and not more, because that is
what a laptop waits that has lost the first packets. A change of addresses begins anew at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from swarmnode.protocols.mdns.dns import (
    ANY,
    MAX_NAME_BYTES,
    PTR,
    TXT,
    Message,
    Pointer,
    Question,
    Text,
    decode,
    encode,
)
from swarmnode.protocols.mdns.vocabulary import Found, Leave, Multicast, OwnAddresses, Packet
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr

#: Seconds from the start (or a change) to each of the first questions, and between later ones.
FIRST_QUERIES = (0.0, 1.0, 3.0, 10.0)
QUERY_SECONDS = 60.0
#: Announcements at the start, as many seconds apart as two answers must be.
ANNOUNCEMENTS = 2
ANSWER_SECONDS = 1.0
#: An answer waits for so long and up to as much again by chance, lest all nodes answer at once (section 6).
ANSWER_DELAY = (0.02, 0.1)
RECORD_TTL = 120
#: The name of a node on the link says nothing about it.
NAME_CHARS = 40
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"

#: An answer of ours fits in one Ethernet frame.
MAX_TEXT_BYTES = 1200
MAX_STRING_BYTES = 255
MAX_OWN_ADDRESSES = 16
MAX_PEERS_A_PACKET = 4
MAX_ADDRESSES_A_PEER = 16
MAX_FOUND = 512
#: A peer that goes on announcing the same is reported again after this.
REPEAT_SECONDS = 60.0
#: Packets looked at in a second, and new peers believed: at once, and then in a second.
PACKETS_A_SECOND = 200
FOUND_AT_ONCE, FOUND_A_SECOND = 64, 8

_PREFIX = b"dnsaddr="


class Chance(Protocol):
    """The part of `random.Random` that is needed."""

    def random(self) -> float: ...


class MdnsMachine:
    """service: as `protocols.swarm.ids.mdns_service` gives it. peer: our id."""

    def __init__(self, service: str, peer: str, rng: Chance) -> None:
        if len(service) + NAME_CHARS + 3 > MAX_NAME_BYTES:
            raise ValueError(f"the service {service!r} has too long a name")
        self._service, self._peer, self._rng = service.lower(), peer, rng
        chars = (_ALPHABET[int(rng.random() * len(_ALPHABET))] for _ in range(NAME_CHARS))
        self._name = f"{''.join(chars)}.{self._service}"
        self._addresses: tuple[Multiaddr, ...] | None = None
        self._queries: list[float] = []
        self._announce = 0
        self._answer_at: float | None = None
        self._answered = float("-inf")
        self._told: dict[str, tuple[tuple[Multiaddr, ...], float]] = {}
        self._window, self._packets = 0.0, 0
        self._allowance, self._allowed_at = float(FOUND_AT_ONCE), 0.0
        #: Packets that could not be read, and that were more than are looked at.
        self.malformed = self.dropped = 0

    @property
    def deadline(self) -> float | None:
        return min((at for at in (*self._queries[:1], self._answer_at) if at is not None), default=None)

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """As `interfaces.machine.Machine` says."""
        match event:
            case OwnAddresses(addresses):
                self._begin(addresses, now)
            case Packet(data):
                return [*self._take(data, now), *self._due(now)]
            case Leave():
                return self._leave()
        return self._due(now)

    def _begin(self, addresses: tuple[Multiaddr, ...], now: float) -> None:
        if addresses == self._addresses:
            return
        self._addresses = addresses
        self._queries = [now + delay for delay in FIRST_QUERIES]
        self._announce = ANNOUNCEMENTS
        self._answer_at = max(now, self._answered + ANSWER_SECONDS)

    def _leave(self) -> list[Any]:
        was_known = self._answered > float("-inf")
        self._queries, self._answer_at, self._addresses = [], None, ()
        return [Multicast(self._answer(0))] if was_known else []

    def _due(self, now: float) -> list[Any]:
        effects: list[Any] = []
        if self._queries and self._queries[0] <= now:
            effects.append(Multicast(encode(Message(False, (Question(self._service, PTR),)))))
            self._queries = [at for at in self._queries if at > now] or [self._later(now)]
        if self._answer_at is not None and self._answer_at <= now:
            self._answer_at = None
            if self._addresses:
                effects.append(Multicast(self._answer(RECORD_TTL)))
                self._answered = now
                self._announce = max(0, self._announce - 1)
                if self._announce:
                    self._answer_at = now + ANSWER_SECONDS
        return effects

    def _later(self, now: float) -> float:
        return now + QUERY_SECONDS * (0.8 + 0.4 * self._rng.random())

    def _take(self, data: bytes, now: float) -> list[Any]:
        if now - self._window >= 1:
            self._window, self._packets = now, 0
        self._packets += 1
        if self._packets > PACKETS_A_SECOND or self._addresses is None:
            self.dropped += 1
            return []
        try:
            message = decode(data)
        except PeerFault:
            # A link has many speakers of DNS; none of them is a peer that could be blamed.
            self.malformed += 1
            return []
        if message.response:
            return self._learn(message, now)
        if any(self._concerns(question) for question in message.questions):
            self._asked(now)
        return []

    def _concerns(self, question: Question) -> bool:
        if question.name == self._service:
            return question.kind in (PTR, ANY)
        return question.name == self._name and question.kind in (TXT, ANY)

    def _asked(self, now: float) -> None:
        if len(self._queries) == 1:
            # That question is as good as ours.
            self._queries = [max(self._queries[0], self._later(now))]
        low, spread = ANSWER_DELAY
        at = max(now + low + spread * self._rng.random(), self._answered + ANSWER_SECONDS)
        self._answer_at = at if self._answer_at is None else min(at, self._answer_at)

    def _answer(self, ttl: int) -> bytes:
        strings = _strings(self._addresses or (), self._peer)
        return encode(
            Message(
                True,
                answers=(Pointer(self._service, self._name, ttl),),
                additional=(Text(self._name, strings, ttl),) if strings else (),
            )
        )

    def _learn(self, message: Message, now: float) -> list[Any]:
        records = (*message.answers, *message.additional)
        names = [r.target for r in records if isinstance(r, Pointer) and r.name == self._service]
        if not names or self._name in names:
            return []
        texts = [r for r in records if isinstance(r, Text) and r.name in names]
        for peer in _peers([string for text in texts if not text.ttl for string in text.strings]):
            self._told.pop(peer, None)
        effects: list[Any] = []
        found = _peers([string for text in texts if text.ttl for string in text.strings])
        found.pop(self._peer, None)
        for peer, addresses in found.items():
            known = self._told.get(peer)
            is_news = known is None or now - known[1] >= REPEAT_SECONDS or known[0] != addresses
            if is_news and self._may_tell(now):
                self._remember(peer, addresses, now)
                effects.append(Found(peer, addresses))
        return effects

    def _remember(self, peer: str, addresses: tuple[Multiaddr, ...], now: float) -> None:
        self._told.pop(peer, None)
        if len(self._told) >= MAX_FOUND:
            del self._told[next(iter(self._told))]
        self._told[peer] = (addresses, now)

    def _may_tell(self, now: float) -> bool:
        refilled = self._allowance + (now - self._allowed_at) * FOUND_A_SECOND
        self._allowance, self._allowed_at = min(float(FOUND_AT_ONCE), refilled), now
        if self._allowance < 1:
            self.dropped += 1
            return False
        self._allowance -= 1
        return True


def _strings(addresses: Sequence[Multiaddr], peer: str) -> tuple[bytes, ...]:
    """The TXT strings: direct addresses only, as many as fit."""
    strings: list[bytes] = []
    left = MAX_TEXT_BYTES
    for address in addresses[:MAX_OWN_ADDRESSES]:
        string = _PREFIX + str(address.with_peer(peer)).encode()
        is_direct = all(name != "p2p-circuit" for name, _ in address.parts)
        if is_direct and len(string) <= MAX_STRING_BYTES and len(string) < left:
            strings.append(string)
            left -= len(string) + 1
    return tuple(strings)


def _peers(strings: Sequence[bytes]) -> dict[str, tuple[Multiaddr, ...]]:
    """Peers and their addresses without `/p2p`, in the order told; what cannot be read is left out."""
    found: dict[str, dict[Multiaddr, None]] = {}
    for string in strings:
        if not string.lower().startswith(_PREFIX):
            continue
        try:
            address = Multiaddr.parse(string[len(_PREFIX) :].decode("ascii"))
        except (Refused, UnicodeDecodeError):
            continue
        peer = address.peer
        if (
            peer is None
            or len(address.parts) == 1
            or (peer not in found and len(found) >= MAX_PEERS_A_PACKET)
        ):
            continue
        theirs = found.setdefault(peer, {})
        if len(theirs) < MAX_ADDRESSES_A_PEER:
            theirs[address.without_peer()] = None
    return {peer: tuple(addresses) for peer, addresses in found.items()}
