"""From a pipe of bytes to a secured channel and a muxer (libp2p specs, connections, "Upgrading connections").

`/noise` is agreed on, Noise XX proves both ends, and the muxer comes with the handshake or, from peers that
do not know that, from a negotiation inside the channel.
"""

from __future__ import annotations

from collections.abc import Callable

from swarmnode.protocols.connection.multistream import Answer, Offer
from swarmnode.protocols.connection.noise import PROTOCOL as NOISE
from swarmnode.protocols.connection.noise import Channel, Handshake, Identity, Secure
from swarmnode.protocols.connection.yamux_frames import PROTOCOL as YAMUX


class Securing:
    """One end. entropy: n -> n random bytes. expected: who must answer, None for anybody.

    `done` is there when the muxer is agreed on, and `rest` the plaintext that came behind."""

    def __init__(
        self, initiator: bool, identity: Identity, entropy: Callable[[int], bytes], expected: str | None
    ) -> None:
        self.done: Secure | None = None
        self.rest: list[bytes] = []
        # The initiator's first Noise message goes with the proposal: a round trip less.
        self._security = Offer((NOISE,), lazy=True) if initiator else Answer(lambda: (NOISE,))
        self._handshake = Handshake(
            initiator, identity, entropy(32), entropy(32), expected=expected, muxers=(YAMUX,)
        )
        self._initiator = initiator
        self._secure: Secure | None = None
        self._muxer: Offer | Answer | None = None

    def begin(self) -> bytes:
        """The first bytes for the peer, if it is for this end to begin."""
        if isinstance(self._security, Offer):
            return self._security.begin() + self._handshake.begin()
        return b""

    def feed(self, data: bytes) -> list[bytes]:
        """What to send now. Raises `PeerFault` and `Refused` as its parts do."""
        if self._secure is not None:
            return self._select(self._secure.channel, self._secure.channel.open(data))
        out: list[bytes] = []
        if self._security.agreed is None:
            out.append(self._security.feed(data))
            if self._security.agreed is None:
                return out
            data = self._security.rest
        out.append(self._handshake.feed(data))
        if (secure := self._handshake.done) is not None:
            self._secure = secure
            out += self._secured(secure)
        return out

    def _secured(self, secure: Secure) -> list[bytes]:
        plain = secure.channel.open(secure.rest)
        if secure.muxer is not None:
            self.done, self.rest = secure, plain
            return []
        if self._initiator:
            offer = self._muxer = Offer((YAMUX,))
            return secure.channel.seal([offer.begin()]) + self._select(secure.channel, plain)
        self._muxer = Answer(lambda: (YAMUX,))
        return self._select(secure.channel, plain)

    def _select(self, channel: Channel, plain: list[bytes]) -> list[bytes]:
        muxer = self._muxer
        assert muxer is not None
        said = muxer.feed(b"".join(plain))
        if muxer.agreed is not None:
            self.done = self._secure
            self.rest = [muxer.rest] if muxer.rest else []
        return channel.seal([said]) if said else []
