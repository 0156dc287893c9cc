"""The Noise handshake of libp2p: who is there, proven, and which muxer to use (libp2p specs, noise, "The
libp2p handshake payload", and connections/inlined-muxer-negotiation).

Each end signs its Noise key with its identity. Message 2 brings the responder's proof, message 3 the
initiator's, who so never tells its name to the wrong peer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from swarmnode.protocols.connection.noise_channel import LENGTH_BYTES, Channel
from swarmnode.protocols.connection.noise_pattern import NoiseXX
from swarmnode.protocols.identity.keys import PublicKey, decode_key
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.peer_id import encode_public_key

PROTOCOL = "/noise"
SIGNED_PREFIX = b"noise-libp2p-static-key:"
#: A message with an RSA key of 8192 bits has about 2,300 bytes; this leaves room for other extensions.
MAX_HANDSHAKE_BYTES = 16 * 1024
#: As in go-libp2p.
MAX_MUXERS = 100

_WIRE = schema(
    "noise",
    NoiseExtensions={"webtransport_certhashes": "1 repeated bytes", "stream_muxers": "2 repeated bytes"},
    NoiseHandshakePayload={
        "identity_key": "1 bytes",
        "identity_sig": "2 bytes",
        "extensions": "4 NoiseExtensions",
    },
)


class Identity(Protocol):
    """Who we are: an Ed25519 public key of 32 bytes and what signs with its private key."""

    @property
    def public_key(self) -> bytes: ...

    def sign(self, message: bytes, /) -> bytes:
        """The signature of a message, 64 bytes."""


@dataclass(frozen=True, slots=True)
class Secure:
    """A finished handshake. peer: the proven peer id. public_key: the peer's, in libp2p's encoding (36 bytes
    for Ed25519). muxer: agreed on within the handshake; None: still to be negotiated, in the channel. rest:
    what came behind the handshake; it belongs into `channel.open`."""

    peer: str
    public_key: bytes
    channel: Channel = field(repr=False)
    handshake_hash: bytes = field(repr=False)
    muxer: str | None
    rest: bytes = field(repr=False)


class Handshake:
    """One end. ephemeral, static: 32 random bytes each, for this connection only. expected: the peer that
    must be there; None for anybody. muxers: offered within the handshake, the best first; none: not offered.
    `done` is there as soon as nothing more is to come."""

    def __init__(
        self,
        initiator: bool,
        identity: Identity,
        ephemeral: bytes,
        static: bytes,
        expected: str | None = None,
        muxers: tuple[str, ...] = (),
        prologue: bytes = b"",
    ) -> None:
        self.done: Secure | None = None
        self._initiator, self._identity = initiator, identity
        self._expected, self._muxers = expected, muxers
        self._noise = NoiseXX(initiator, ephemeral, static, prologue)
        self._remote: tuple[PublicKey, str | None] | None = None
        self._buffer = bytearray()

    def begin(self) -> bytes:
        """The first bytes for the peer; none from the responder."""
        return _framed(self._noise.write(b"")) if self._initiator else b""

    def feed(self, data: bytes) -> bytes:
        """What to send now. Raises `PeerFault`: `wrong_peer`, `bad_signature`, `bad_public_key`,
        `bad_handshake`; and `Refused(code='no_common_muxer')`."""
        self._buffer += data
        out = b""
        while self.done is None and (message := self._take()) is not None:
            out += self._received(message)
        return out

    def _take(self) -> bytes | None:
        if len(self._buffer) < LENGTH_BYTES:
            return None
        size = int.from_bytes(self._buffer[:LENGTH_BYTES], "big")
        if size > MAX_HANDSHAKE_BYTES:
            raise _fault(f"it announces a message of {size} bytes ({MAX_HANDSHAKE_BYTES} are allowed)")
        if len(self._buffer) < LENGTH_BYTES + size:
            return None
        message = bytes(self._buffer[LENGTH_BYTES : LENGTH_BYTES + size])
        del self._buffer[: LENGTH_BYTES + size]
        return message

    def _received(self, message: bytes) -> bytes:
        payload = self._noise.read(message)
        # The payload of the first message is open to all, and so says nothing.
        if self._initiator or self._noise.finished:
            self._remote = self._proven(payload)
        out = _framed(self._noise.write(self._payload())) if self._noise.writes else b""
        if self._noise.finished:
            self.done = self._secure()
        return out

    def _payload(self) -> bytes:
        payload = _WIRE.NoiseHandshakePayload(
            identity_key=encode_public_key(self._identity.public_key),
            identity_sig=self._identity.sign(SIGNED_PREFIX + self._noise.static_public),
        )
        if self._muxers:
            payload.extensions.stream_muxers.extend(muxer.encode() for muxer in self._muxers)
        return payload.SerializeToString()

    def _proven(self, data: bytes) -> tuple[PublicKey, str | None]:
        """The peer's key, once its proof holds, and the muxer agreed on."""
        payload = parse(_WIRE.NoiseHandshakePayload, data, "The payload of the Noise handshake")
        key = decode_key(payload.identity_key)
        if not key.verify(payload.identity_sig, SIGNED_PREFIX + self._noise.remote_static):
            raise PeerFault("The peer's proof of its identity is wrong", code="bad_signature")
        if self._expected is not None and key.peer_id != self._expected:
            raise PeerFault(
                f"{key.peer_id} answered instead of {self._expected}",
                code="wrong_peer",
                hint="The address belongs to another node now, or the node has a new identity.",
            )
        offered = payload.extensions.stream_muxers
        if len(offered) > MAX_MUXERS:
            raise _fault(f"it offers {len(offered)} muxers ({MAX_MUXERS} are allowed)")
        return key, self._muxer([bytes(muxer).decode(errors="replace") for muxer in offered])

    def _muxer(self, theirs: Sequence[str]) -> str | None:
        """The first of the initiator's that both offer; None when one of the two offers none here."""
        if not self._muxers or not theirs:
            return None
        first, second = (self._muxers, theirs) if self._initiator else (theirs, self._muxers)
        muxer = next((name for name in first if name in second), None)
        if muxer is None:
            raise Refused(
                f"The peer multiplexes with none of {', '.join(self._muxers)}",
                code="no_common_muxer",
                hint="It runs another program, or another version of this one.",
            )
        return muxer

    def _secure(self) -> Secure:
        assert self._remote is not None  # set with the last message at the latest
        (key, muxer), rest = self._remote, bytes(self._buffer)
        self._buffer.clear()
        channel = Channel(*self._noise.split())
        return Secure(key.peer_id, key.encoded, channel, self._noise.hash, muxer, rest)


def _framed(message: bytes) -> bytes:
    return len(message).to_bytes(LENGTH_BYTES, "big") + message


def _fault(what: str) -> PeerFault:
    return PeerFault(f"The Noise handshake failed: {what}", code="bad_handshake")
