"""multistream-select 1.0: two ends agree on a protocol for a pipe of bytes (libp2p specs, connections,
"Protocol negotiation"; multiformats/multistream-select).

Each message is a line: a varint with its length, UTF-8 text, `\\n`. Both ends say the header first; the one
that opened the pipe proposes, the other repeats the protocol or says `na`. `ls` is answered as other
implementations do: one message that holds the lines of all protocols, and an empty line.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from swarmnode.protocols.wire.framing import framed
from swarmnode.values.errors import PeerFault, Refused

HEADER = "/multistream/1.0.0"
#: The longest line, with its `\n`: what go-libp2p and js-libp2p take.
MAX_LINE_BYTES = 1024
#: Lines that a peer may send before something is agreed on, listings included.
MAX_PROPOSALS = 64
MAX_LISTINGS = 4
#: The longest answer to `ls`; what does not fit is left out.
MAX_LISTING_BYTES = 16 * 1024 - 1

_NOT_AVAILABLE, _LIST = "na", "ls"
#: A length below 2**14 has at most two bytes.
_MAX_LENGTH_BYTES = 2


def line(text: str) -> bytes:
    """One message."""
    return framed(text.encode() + b"\n")


_GREETING = line(HEADER)


class Offer:
    """The end that proposes. protocols: in the order of preference. lazy: the payload may follow what
    `begin` returns without waiting for an answer, so there can only be one protocol.

    `agreed` is the protocol once there is one, and `rest` what came behind the negotiation by then.
    """

    def __init__(self, protocols: Sequence[str], lazy: bool = False) -> None:
        if not protocols or (lazy and len(protocols) > 1):
            raise ValueError(f"{len(protocols)} protocols cannot be offered (lazy: {lazy})")
        self.agreed: str | None = None
        self.rest = b""
        self._protocols = tuple(protocols)
        self._proposed = 0
        self._lines = _Lines()

    def begin(self) -> bytes:
        """The first bytes for the peer: header and first proposal."""
        return line(HEADER) + line(self._protocols[0])

    def feed(self, data: bytes) -> bytes:
        """What to send now. Raises `PeerFault(code='bad_negotiation')` when the peer speaks something else
        and `Refused(code='protocol_unsupported')` when it knows none of the protocols."""
        self._lines.add(data)
        out = b""
        while self.agreed is None and (text := self._lines.take()) is not None:
            out += self._answered(text)
        if self.agreed is not None:
            self.rest += self._lines.rest()
        return out

    def _answered(self, text: str) -> bytes:
        proposal = self._protocols[self._proposed]
        if text == proposal:
            self.agreed = proposal
            return b""
        if text != _NOT_AVAILABLE:
            raise _fault(f"{proposal!r} was answered with {text[:80]!r}")
        self._proposed += 1
        if self._proposed == len(self._protocols):
            raise Refused(
                f"The peer speaks none of {', '.join(self._protocols)}",
                code="protocol_unsupported",
                hint="It runs another program, or another version of this one.",
            )
        return line(self._protocols[self._proposed])


class Answer:
    """The end that chooses. serves: the protocols to choose from, asked anew for each proposal. Attributes
    as with `Offer`."""

    def __init__(self, serves: Callable[[], Collection[str]]) -> None:
        self.agreed: str | None = None
        self.rest = b""
        self._serves = serves
        self._proposals = self._listings = 0
        self._lines = _Lines()

    def feed(self, data: bytes) -> bytes:
        """What to send now. Raises `PeerFault(code='bad_negotiation')`."""
        greeted = self._lines.greeted
        self._lines.add(data)
        out = bytearray() if greeted or not self._lines.greeted else bytearray(line(HEADER))
        while self.agreed is None and (text := self._lines.take()) is not None:
            out += self._answer(text)
        if self.agreed is not None:
            self.rest += self._lines.rest()
        return bytes(out)

    def _answer(self, text: str) -> bytes:
        self._proposals += 1
        if self._proposals > MAX_PROPOSALS:
            raise _fault(f"more than {MAX_PROPOSALS} protocols were proposed")
        if text == _LIST:
            return self._listing()
        if text not in self._serves():
            return line(_NOT_AVAILABLE)
        self.agreed = text
        return line(text)

    def _listing(self) -> bytes:
        self._listings += 1
        if self._listings > MAX_LISTINGS:
            raise _fault(f"the protocols were asked for more than {MAX_LISTINGS} times")
        listing = b""
        for protocol in sorted(self._serves()):
            if len(listing) + len(line(protocol)) < MAX_LISTING_BYTES:
                listing += line(protocol)
        return framed(listing + b"\n")


class _Lines:
    """Cuts bytes into lines, the header taken away. Keeps at most one that is not complete, beside what was
    added last."""

    def __init__(self) -> None:
        self.greeted = False
        self._buffer = bytearray()

    def add(self, data: bytes) -> None:
        """Bytes from the peer. Raises `PeerFault` as soon as they cannot become the header."""
        self._buffer += data
        if not self.greeted:
            head = bytes(self._buffer[: len(_GREETING)])
            if not _GREETING.startswith(head):
                raise _fault(f"it begins with {head!r} instead of {HEADER!r}")
            if self._buffer.startswith(_GREETING):
                self.greeted = True
                del self._buffer[: len(_GREETING)]

    def take(self) -> str | None:
        """The next complete line without its `\\n`."""
        if not self.greeted:
            return None
        size, start = 0, 0
        for start, byte in enumerate(self._buffer[:_MAX_LENGTH_BYTES], 1):
            size |= (byte & 0x7F) << 7 * (start - 1)
            if byte < 0x80:
                break
        else:
            if start == _MAX_LENGTH_BYTES:
                raise _fault("a line's length has no end")
            return None
        if not 0 < size <= MAX_LINE_BYTES:
            raise _fault(f"a line of {size} bytes is announced ({MAX_LINE_BYTES} are allowed)")
        if len(self._buffer) < start + size:
            return None
        raw = bytes(self._buffer[start : start + size])
        del self._buffer[: start + size]
        return _text(raw)

    def rest(self) -> bytes:
        """All that is left; it is not kept."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest


def _text(raw: bytes) -> str:
    if not raw.endswith(b"\n"):
        raise _fault("a line does not end with a new line")
    try:
        return raw[:-1].decode()
    except UnicodeDecodeError as error:
        raise _fault("a line is not UTF-8") from error


def _fault(what: str) -> PeerFault:
    return PeerFault(
        f"The negotiation of a protocol failed: {what}",
        code="bad_negotiation",
        hint="Something that speaks no libp2p may be listening at the peer's address.",
    )
