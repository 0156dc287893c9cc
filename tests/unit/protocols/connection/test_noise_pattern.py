"""The Noise XX pattern against published vectors, and what it does with damaged messages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.connection.noise_channel import Channel
from swarmnode.protocols.connection.noise_pattern import NoiseXX
from swarmnode.values.errors import PeerFault

A, B, C, D = (bytes([number] * 32) for number in (1, 2, 3, 4))


def both() -> tuple[NoiseXX, NoiseXX]:
    return NoiseXX(True, A, B), NoiseXX(False, C, D)


def run(initiator: NoiseXX, responder: NoiseXX) -> None:
    for writer, reader in ((initiator, responder), (responder, initiator), (initiator, responder)):
        reader.read(writer.write(b"payload"))


@pytest.mark.shared
def test_the_published_vectors_come_out_byte_for_byte(shared: Path) -> None:
    path = shared / "data" / "noise" / "noise_xx_25519_chachapoly_sha256.json"
    if not path.exists():
        pytest.skip(f"the Noise vectors are not at {path}")
    for vector in json.loads(path.read_text("utf-8"))["vectors"]:
        key = {name: bytes.fromhex(value) for name, value in vector.items() if name[:5] in ("init_", "resp_")}
        ends = (
            NoiseXX(True, key["init_ephemeral"], key["init_static"], key["init_prologue"]),
            NoiseXX(False, key["resp_ephemeral"], key["resp_static"], key["resp_prologue"]),
        )
        messages = [(bytes.fromhex(m["payload"]), bytes.fromhex(m["ciphertext"])) for m in vector["messages"]]
        assert len(messages) == 6
        for number, (payload, wanted) in enumerate(messages[:3]):
            assert ends[number % 2].write(payload) == wanted
            assert ends[1 - number % 2].read(wanted) == payload
        assert ends[0].finished
        assert ends[1].finished
        assert ends[0].hash == ends[1].hash
        channels = [Channel(*end.split()) for end in ends]
        for number, (payload, wanted) in enumerate(messages[3:], 3):
            frame = len(wanted).to_bytes(2, "big") + wanted
            assert b"".join(channels[number % 2].seal([payload])) == frame
            assert channels[1 - number % 2].open(frame) == [payload]


def test_the_two_ends_know_each_other_and_share_keys() -> None:
    initiator, responder = both()
    run(initiator, responder)
    assert initiator.remote_static == responder.static_public
    assert responder.remote_static == initiator.static_public
    assert initiator.split() == responder.split()[::-1]
    assert len(set(initiator.split())) == 2


def test_another_prologue_is_noticed() -> None:
    initiator, responder = NoiseXX(True, A, B, b"one"), NoiseXX(False, C, D, b"two")
    responder.read(initiator.write(b""))
    with pytest.raises(PeerFault):
        initiator.read(responder.write(b""))


def test_only_the_end_whose_turn_it_is_writes() -> None:
    initiator, responder = both()
    assert initiator.writes
    assert not responder.writes
    with pytest.raises(RuntimeError):
        responder.write(b"")
    run(initiator, responder)
    assert not initiator.writes
    with pytest.raises(RuntimeError):
        initiator.read(b"")


@pytest.mark.parametrize("low_order", [bytes(32), b"\x01" + bytes(31)])
def test_a_key_of_low_order_is_refused(low_order: bytes) -> None:
    """RFC 7748, section 6.1: the all-zero secret tells that the peer contributed nothing."""
    responder = NoiseXX(False, C, D)
    responder.read(low_order)
    with pytest.raises(PeerFault) as caught:
        responder.write(b"")
    assert caught.value.code == "bad_handshake"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2), st.integers(0, 10_000), st.integers(1, 255), st.sampled_from(["flip", "cut", "more"])
)
def test_a_changed_message_never_ends_in_a_handshake(step: int, where: int, bits: int, how: str) -> None:
    initiator, responder = both()
    with pytest.raises(PeerFault) as caught:
        for number in range(3):
            writer, reader = (responder, initiator) if number == 1 else (initiator, responder)
            message = bytearray(writer.write(b"payload"))
            if number == step:
                place = where % len(message)
                if how == "flip":
                    message[place] ^= bits
                elif how == "cut":
                    del message[place:]
                else:
                    message += bytes(bits)
            reader.read(bytes(message))
    assert caught.value.code == "bad_handshake"
