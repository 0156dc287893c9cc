"""The Noise handshake of libp2p: both ends prove who they are, and nobody else gets in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.connection.noise import MAX_HANDSHAKE_BYTES, Handshake
from swarmnode.protocols.connection.noise_handshake import MAX_MUXERS, SIGNED_PREFIX
from swarmnode.protocols.connection.noise_pattern import NoiseXX
from swarmnode.protocols.identity.fields import encode_fields
from swarmnode.protocols.identity.handover import Signer
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError
from swarmnode.values.peer_id import encode_public_key, peer_id, peer_id_of_encoded

YAMUX, MPLEX = "/yamux/1.0.0", "/mplex/6.7.0"


def signer(number: int) -> Signer:
    key = SigningKey(bytes([number] * 32))
    return Signer(bytes(key.verify_key), lambda message: bytes(key.sign(message).signature))


DIALLER, LISTENER, STRANGER = signer(1), signer(2), signer(3)


def dialler(**more) -> Handshake:
    return Handshake(True, DIALLER, ephemeral=b"\x11" * 32, static=b"\x12" * 32, **more)


def listener(**more) -> Handshake:
    return Handshake(False, LISTENER, ephemeral=b"\x21" * 32, static=b"\x22" * 32, **more)


def run(one: Handshake, two: Handshake) -> None:
    to_two = one.begin()
    while to_two:
        to_two = one.feed(two.feed(to_two))


def framed(message: bytes) -> bytes:
    return len(message).to_bytes(2, "big") + message


class RawListener:
    """A responder whose payload the test writes itself."""

    def __init__(self) -> None:
        self.noise = NoiseXX(False, b"\x21" * 32, b"\x22" * 32)

    def answer(self, begin: bytes, payload: bytes) -> bytes:
        self.noise.read(begin[2:])
        return framed(self.noise.write(payload))

    def payload(self, key: bytes, sign, extensions: bytes = b"") -> bytes:
        proof = sign(SIGNED_PREFIX + self.noise.static_public)
        more = [(4, extensions)] if extensions else []
        return encode_fields([(1, key), (2, proof), *more])


def test_both_ends_learn_who_is_there_and_can_talk() -> None:
    one, two = dialler(muxers=(YAMUX,)), listener(muxers=(YAMUX,))
    run(one, two)
    assert one.done is not None
    assert two.done is not None
    assert one.done.peer == peer_id(LISTENER.public_key)
    assert two.done.peer == peer_id(DIALLER.public_key)
    assert two.done.public_key == encode_public_key(DIALLER.public_key)
    assert one.done.handshake_hash == two.done.handshake_hash
    assert len(one.done.handshake_hash) == 32
    assert two.done.channel.open(b"".join(one.done.channel.seal([b"ping"]))) == [b"ping"]
    assert one.done.channel.open(b"".join(two.done.channel.seal([b"pong"]))) == [b"pong"]


def test_the_first_message_says_nothing_about_us() -> None:
    assert len(dialler(muxers=(YAMUX,)).begin()) == 2 + 32
    assert listener().begin() == b""


def test_another_ephemeral_key_gives_another_hash() -> None:
    hashes = []
    for number in (5, 6):
        one, two = Handshake(True, DIALLER, bytes([number] * 32), b"\x12" * 32), listener()
        run(one, two)
        assert one.done is not None
        hashes.append(one.done.handshake_hash)
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        ((YAMUX,), (YAMUX,), YAMUX),
        ((MPLEX, YAMUX), (YAMUX, MPLEX), MPLEX),
        ((YAMUX, MPLEX), (MPLEX,), MPLEX),
        ((YAMUX,), (), None),
        ((), (YAMUX,), None),
        ((), (), None),
    ],
)
def test_the_initiators_first_common_muxer_is_used(ours, theirs, wanted) -> None:
    one, two = dialler(muxers=ours), listener(muxers=theirs)
    run(one, two)
    assert one.done is not None
    assert two.done is not None
    assert (one.done.muxer, two.done.muxer) == (wanted, wanted)


def test_no_common_muxer_ends_the_handshake() -> None:
    one, two = dialler(muxers=(YAMUX,)), listener(muxers=(MPLEX,))
    with pytest.raises(Refused) as caught:
        run(one, two)
    assert caught.value.code == "no_common_muxer"


def test_the_expected_peer_is_let_in_and_another_is_not() -> None:
    one, two = dialler(expected=peer_id(LISTENER.public_key)), listener()
    run(one, two)
    assert one.done is not None
    one, two = dialler(expected=peer_id(STRANGER.public_key)), listener()
    with pytest.raises(PeerFault) as caught:
        run(one, two)
    assert caught.value.code == "wrong_peer"
    assert one.done is None
    # Message 3 was never sent: the wrong peer does not learn who dialled.
    assert two.done is None


def test_the_listener_can_expect_somebody_as_well() -> None:
    one, two = dialler(), listener(expected=peer_id(STRANGER.public_key))
    with pytest.raises(PeerFault) as caught:
        run(one, two)
    assert caught.value.code == "wrong_peer"


def test_a_proof_by_another_key_or_for_another_channel_is_refused() -> None:
    for key, sign in (
        (LISTENER.public_key, STRANGER.sign),
        (LISTENER.public_key, lambda message: LISTENER.sign(message[:-1] + b"\0")),
        (LISTENER.public_key, lambda message: LISTENER.sign(message.removeprefix(SIGNED_PREFIX))),
        (LISTENER.public_key, lambda message: b""),
    ):
        one, raw = dialler(), RawListener()
        with pytest.raises(PeerFault) as caught:
            one.feed(raw.answer(one.begin(), raw.payload(encode_public_key(key), sign)))
        assert caught.value.code == "bad_signature"


@pytest.mark.parametrize("payload", [b"", b"\x0a\x00", b"\xff\xff", b"\x0a\x04\x08\x09\x12\x00"])
def test_a_payload_without_a_usable_key_is_refused(payload: bytes) -> None:
    one, raw = dialler(), RawListener()
    with pytest.raises(PeerFault) as caught:
        one.feed(raw.answer(one.begin(), payload))
    assert caught.value.code in ("bad_public_key", "bad_message")


def test_strangers_with_other_kinds_of_keys_are_understood() -> None:
    ecdsa, rsa_key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    secp = ec.generate_private_key(ec.SECP256K1())
    der = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    point = secp.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    for kind, data, sign in (
        (3, ecdsa.public_key().public_bytes(*der), lambda m: ecdsa.sign(m, ec.ECDSA(SHA256()))),
        (2, point, lambda m: secp.sign(m, ec.ECDSA(SHA256()))),
        (0, rsa_key.public_key().public_bytes(*der), lambda m: rsa_key.sign(m, PKCS1v15(), SHA256())),
    ):
        encoded = encode_fields([(1, kind), (2, data)])
        one, raw = dialler(expected=peer_id_of_encoded(encoded)), RawListener()
        assert one.feed(raw.answer(one.begin(), raw.payload(encoded, sign)))
        assert one.done is not None
        assert one.done.public_key == encoded


def test_other_extensions_and_odd_muxers_are_passed_over() -> None:
    extensions = encode_fields([(1, b"a certificate's hash"), (2, b"\xff\xfe"), (9, b"later")])
    one, raw = dialler(), RawListener()
    key = encode_public_key(LISTENER.public_key)
    one.feed(raw.answer(one.begin(), raw.payload(key, LISTENER.sign, extensions)))
    assert one.done is not None
    assert one.done.muxer is None


def test_muxers_have_a_limit() -> None:
    extensions = encode_fields([(2, YAMUX.encode())]) * (MAX_MUXERS + 1)
    one, raw = dialler(muxers=(YAMUX,)), RawListener()
    key = encode_public_key(LISTENER.public_key)
    with pytest.raises(PeerFault) as caught:
        one.feed(raw.answer(one.begin(), raw.payload(key, LISTENER.sign, extensions)))
    assert caught.value.code == "bad_handshake"


def test_what_comes_behind_the_last_message_is_handed_on() -> None:
    one, two = dialler(), listener()
    last = one.feed(two.feed(one.begin()))
    assert one.done is not None
    sealed = b"".join(one.done.channel.seal([b"at once"]))
    assert two.feed(last + sealed) == b""
    assert two.done is not None
    assert two.done.channel.open(two.done.rest) == [b"at once"]


def test_an_oversized_message_is_refused_before_it_has_come() -> None:
    with pytest.raises(PeerFault) as caught:
        listener().feed((MAX_HANDSHAKE_BYTES + 1).to_bytes(2, "big"))
    assert caught.value.code == "bad_handshake"


def test_a_handshake_of_yesterday_cannot_be_said_again() -> None:
    one, two = dialler(), listener()
    first = one.begin()
    third = one.feed(two.feed(first))
    again = Handshake(False, LISTENER, ephemeral=b"\x99" * 32, static=b"\x22" * 32)
    again.feed(first)
    with pytest.raises(PeerFault) as caught:
        again.feed(third)
    assert caught.value.code == "bad_handshake"


def test_the_secrets_are_not_shown() -> None:
    one, two = dialler(), listener()
    run(one, two)
    assert one.done is not None
    assert "channel" not in repr(one.done)
    assert one.done.handshake_hash.hex() not in repr(replace(one.done, rest=b"secret"))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), max_size=30))
def test_any_portions_give_the_same_handshake(sizes: list[int]) -> None:
    one, two = dialler(muxers=(YAMUX,)), listener(muxers=(YAMUX,))
    ends, data, turn = (two, one), one.begin(), 0
    while data:
        out, position = b"", 0
        for size in [*sizes, len(data)]:
            out += ends[turn % 2].feed(data[position : position + size])
            position += size
        data, turn = out, turn + 1
    assert one.done is not None
    assert two.done is not None
    assert one.done.handshake_hash == two.done.handshake_hash


@settings(max_examples=200, deadline=None)
@given(st.lists(st.binary(max_size=120) | st.binary(min_size=1, max_size=80).map(framed), max_size=6))
def test_any_bytes_end_in_silence_or_a_named_error(portions: list[bytes]) -> None:
    one, two = dialler(), listener()
    one.begin()
    for end in (one, two):
        try:
            for portion in portions:
                end.feed(portion)
        except SwarmnodeError as error:
            assert error.code in ("bad_handshake", "bad_message", "bad_public_key", "bad_signature")
        assert end.done is None
        assert len(end._buffer) <= MAX_HANDSHAKE_BYTES + 2 + max(map(len, portions), default=0)
