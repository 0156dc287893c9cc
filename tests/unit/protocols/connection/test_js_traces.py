"""What js-libp2p really said, replayed: our keys were fixed when it was recorded, so both halves come out the
same for ever. The trace names the versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from swarmnode.protocols.connection.multistream import Answer, Offer
from swarmnode.protocols.connection.noise import Handshake, Secure
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.identity.keys import decode_key

TRACE = Path(__file__).parents[3] / "traces" / "js_noise.json"
HANDSHAKES = json.loads(TRACE.read_text("utf-8"))["handshakes"]
KEY = SigningKey(b"\x01" * 32)
US = Signer(bytes(KEY.verify_key), lambda message: bytes(KEY.sign(message).signature))
MUXER = "/yamux/1.0.0"
YAMUX_PING = bytes([0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7])


class Pipe:
    """Plays the peer's half and compares ours."""

    def __init__(self, steps: list[list[str]]) -> None:
        self._steps: Iterator[list[str]] = iter(steps)

    def send(self, data: bytes) -> None:
        if data:
            assert next(self._steps) == ["ours", data.hex()]

    def receive(self) -> bytes:
        who, data = next(self._steps)
        assert who == "theirs"
        return bytes.fromhex(data)

    def rest(self) -> bytes:
        return b"".join(bytes.fromhex(data) for _, data in self._steps)


def negotiate(pipe: Pipe, we_dial: bool) -> bytes:
    end = Offer(("/noise",)) if we_dial else Answer(lambda: ("/noise",))
    if isinstance(end, Offer):
        pipe.send(end.begin())
    while end.agreed is None:
        pipe.send(end.feed(pipe.receive()))
    return end.rest


def shake_hands(pipe: Pipe, made: dict[str, Any], data: bytes) -> Secure:
    muxers = (MUXER,) if made["early_muxer"] else ()
    hands = Handshake(made["we_dial"], US, b"\x11" * 32, b"\x12" * 32, made["peer"], muxers)
    pipe.send(hands.begin())
    while True:
        pipe.send(hands.feed(data))
        if hands.done is not None:
            return hands.done
        data = pipe.receive()


def negotiate_muxer(pipe: Pipe, made: dict[str, Any], secure: Secure) -> bytes:
    plain = b"".join(secure.channel.open(secure.rest))
    if secure.muxer is not None:
        return plain
    end = Offer((MUXER,)) if made["we_dial"] else Answer(lambda: (MUXER,))
    if isinstance(end, Offer):
        pipe.send(b"".join(secure.channel.seal([end.begin()])))
    while True:
        pipe.send(b"".join(secure.channel.seal([end.feed(plain)])))
        if end.agreed is not None:
            return end.rest
        plain = b"".join(secure.channel.open(pipe.receive()))


@pytest.mark.parametrize(
    "made",
    HANDSHAKES,
    ids=lambda made: f"{made['key']}-{'out' if made['we_dial'] else 'in'}-{made['early_muxer']}",
)
def test_a_handshake_with_js_comes_out_byte_for_byte(made: dict[str, Any]) -> None:
    pipe = Pipe(made["steps"])
    secure = shake_hands(pipe, made, negotiate(pipe, made["we_dial"]))
    assert secure.peer == made["peer"]
    assert decode_key(secure.public_key).kind.name == made["key"].upper()
    assert secure.muxer == (MUXER if made["early_muxer"] else None)
    opened = negotiate_muxer(pipe, made, secure)
    pipe.send(b"".join(secure.channel.seal([YAMUX_PING])))
    opened += b"".join(secure.channel.open(pipe.rest()))
    assert opened.hex() == made["opened"]
    assert secure.channel.pending == 0


def test_both_directions_and_three_kinds_of_keys_were_recorded() -> None:
    seen = {(made["key"], made["we_dial"], made["early_muxer"]) for made in HANDSHAKES}
    assert {("Ed25519", dial, early) for dial in (True, False) for early in (True, False)} <= seen
    assert {key for key, _, _ in seen} == {"Ed25519", "secp256k1", "RSA"}
