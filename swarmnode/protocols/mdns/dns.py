"""DNS messages as multicast DNS uses them (RFC 1035 section 4, RFC 6762, RFC 6763): a small, wary codec.

Read are questions, and the PTR and TXT records of answers and additional records; other records are
stepped over. Anybody on the link may send such a message: names are bounded, and a compressed name may
point only backwards, so that every one of them has an end.
"""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.errors import PeerFault

#: RFC 6762, section 17.
MAX_PACKET_BYTES = 9000
MAX_LABEL_BYTES = 63
MAX_NAME_BYTES = 255
#: Records and questions that are read of one packet; whoever counts up more is not listened to.
MAX_ENTRIES = 128
MAX_STRINGS = 64

PTR, TXT, ANY = 12, 16, 255
CLASS_IN = 1
#: In the class of a question: the answer may come by unicast. In that of a record: it replaces older ones.
TOP_BIT = 0x8000
RESPONSE, AUTHORITATIVE = 0x8000, 0x0400
_OPCODE_AND_RCODE = 0x780F
_POINTER = 0xC0
_HEADER_BYTES = 12


@dataclass(frozen=True, slots=True)
class Question:
    """name: labels joined by dots, lower case, as all names here."""

    name: str
    kind: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """A PTR record. ttl: seconds; 0 takes it back."""

    name: str
    target: str
    ttl: int


@dataclass(frozen=True, slots=True)
class Text:
    """A TXT record: its strings, each of at most 255 bytes."""

    name: str
    strings: tuple[bytes, ...]
    ttl: int


@dataclass(frozen=True, slots=True)
class Message:
    """A query or, with `response`, an answer; of its records those of known kinds."""

    response: bool
    questions: tuple[Question, ...] = ()
    answers: tuple[Pointer | Text, ...] = ()
    additional: tuple[Pointer | Text, ...] = ()


def encode(message: Message) -> bytes:
    """The bytes of a message; names are compressed. Raises `ValueError` for what does not fit."""
    writer = _Writer()
    flags = RESPONSE | AUTHORITATIVE if message.response else 0
    counts = (len(message.questions), len(message.answers), 0, len(message.additional))
    # Multicast DNS has no message ids (RFC 6762 section 18.1).
    writer.numbers(0, flags, *counts)
    for question in message.questions:
        writer.name(question.name)
        writer.numbers(question.kind, CLASS_IN)
    for record in (*message.answers, *message.additional):
        writer.record(record)
    if len(writer.out) > MAX_PACKET_BYTES:
        raise ValueError(f"a message of {len(writer.out)} bytes is too long")
    return bytes(writer.out)


def decode(data: bytes) -> Message:
    """The message in a packet. Raises `PeerFault(code='bad_dns')`."""
    if not _HEADER_BYTES <= len(data) <= MAX_PACKET_BYTES:
        raise _bad(f"it has {len(data)} bytes")
    reader = _Reader(data)
    _, flags, *counts = (reader.number(2) for _ in range(6))
    if flags & _OPCODE_AND_RCODE:
        raise _bad("it is no plain query or answer")
    if sum(counts) > MAX_ENTRIES:
        raise _bad(f"it holds {sum(counts)} entries")
    questions = [reader.question() for _ in range(counts[0])]
    answers, _, additional = ([reader.record() for _ in range(count)] for count in counts[1:])
    return Message(
        bool(flags & RESPONSE),
        tuple(question for question in questions if question is not None),
        tuple(record for record in answers if record is not None),
        tuple(record for record in additional if record is not None),
    )


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self._seen: dict[tuple[str, ...], int] = {}

    def numbers(self, *values: int) -> None:
        for value in values:
            self.out += value.to_bytes(2, "big")

    def name(self, name: str) -> None:
        labels = tuple(name.split("."))
        if len(name) > MAX_NAME_BYTES - 2:
            raise ValueError(f"{name!r} is too long a name")
        for index in range(len(labels)):
            at = self._seen.get(labels[index:])
            if at is not None:
                self.numbers(_POINTER << 8 | at)
                return
            # Only the first 16 KiB can be pointed to, and a packet is shorter.
            self._seen[labels[index:]] = len(self.out)
            label = labels[index].encode("ascii")
            if not 0 < len(label) <= MAX_LABEL_BYTES:
                raise ValueError(f"{name!r} has an empty or too long part")
            self.out += bytes([len(label)]) + label
        self.out.append(0)

    def record(self, record: Pointer | Text) -> None:
        self.name(record.name)
        self.numbers(PTR if isinstance(record, Pointer) else TXT, CLASS_IN)
        self.out += record.ttl.to_bytes(4, "big")
        start = len(self.out)
        self.numbers(0)
        if isinstance(record, Pointer):
            self.name(record.target)
        else:
            for string in record.strings:
                self.out += bytes([len(string)]) + string
        self.out[start : start + 2] = (len(self.out) - start - 2).to_bytes(2, "big")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size), "big")

    def question(self) -> Question | None:
        name, kind, family = self._name(), self.number(2), self.number(2)
        return Question(name, kind) if family & ~TOP_BIT in (CLASS_IN, ANY) else None

    def record(self) -> Pointer | Text | None:
        name, kind, family = self._name(), self.number(2), self.number(2)
        ttl, size = self.number(4), self.number(2)
        end = self._at + size
        if end > len(self._data):
            raise _bad("a record reaches beyond its end")
        record: Pointer | Text | None = None
        if family & ~TOP_BIT == CLASS_IN:
            if kind == PTR:
                record = Pointer(name, self._name(), ttl)
            elif kind == TXT:
                record = Text(name, self._strings(end), ttl)
            if record is not None and self._at != end:
                raise _bad("a record has another length than it says")
        self._at = end
        return record

    def _strings(self, end: int) -> tuple[bytes, ...]:
        strings: list[bytes] = []
        while self._at < end:
            strings.append(self._take(self.number(1)))
            if len(strings) > MAX_STRINGS:
                raise _bad("a record has too many strings")
        return tuple(strings)

    def _take(self, size: int) -> bytes:
        if size > len(self._data) - self._at:
            raise _bad("it is cut off")
        self._at += size
        return self._data[self._at - size : self._at]

    def _name(self) -> str:
        """A name; afterwards the position is behind it, wherever its rest was."""
        labels: list[str] = []
        length, lowest, resume = 1, self._at, None
        while (size := self.number(1)) != 0:
            if size >= _POINTER:
                target = (size & ~_POINTER) << 8 | self.number(1)
                resume = self._at if resume is None else resume
                # Strictly backwards, so that no name goes round in a circle.
                if target >= lowest:
                    raise _bad("a name points forward")
                self._at = lowest = target
                continue
            if size > MAX_LABEL_BYTES:
                raise _bad("a part of a name is too long")
            length += size + 1
            if length > MAX_NAME_BYTES:
                raise _bad("a name is too long")
            labels.append(_label(self._take(size)))
        if resume is not None:
            self._at = resume
        return ".".join(labels)


def _label(raw: bytes) -> str:
    # Names are compared without regard to case (RFC 1035 section 3.1); a dot inside a part is not one
    # that divides, and no name of ours has one.
    return raw.decode("utf-8", "replace").lower().replace(".", "\N{REPLACEMENT CHARACTER}")


def _bad(fault: str) -> PeerFault:
    return PeerFault(f"A multicast DNS packet cannot be read: {fault}", code="bad_dns")
