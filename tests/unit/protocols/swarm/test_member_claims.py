"""Statements about members: what is signed comes back, and nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.identity.envelope import seal
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.member_claims import (
    DOMAIN,
    MAX_ADDRESSES,
    MAX_SEQUENCE,
    MAX_STATEMENT_BYTES,
    PAYLOAD_TYPE,
    Claim,
    Suspicion,
    open_statement,
    sign_claim,
    sign_suspicion,
)
from swarmnode.values.coordinate import Coordinate
from swarmnode.values.errors import PeerFault, Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

LAN = Multiaddr.parse("/ip4/192.168.1.5/tcp/8810")


def signer(number: int) -> Signer:
    key = SigningKey(bytes([number]) * 32)
    return Signer(bytes(key.verify_key), lambda data: key.sign(data).signature)


ADA, BOB = signer(1), signer(2)
ADA_ID, BOB_ID = peer_id(ADA.public_key), peer_id(BOB.public_key)
CLAIM = sign_claim(
    ADA, "", sequence=7, stamp=5, addresses=(LAN,), facts=b"f", coordinate=Coordinate(0.1, -0.2)
)


def test_a_claim_comes_back_as_it_was_said():
    place = Coordinate(0.012345, -0.2, 0.003, 0.25)
    statement = sign_claim(
        ADA, "home", sequence=7, stamp=5, addresses=(LAN.with_peer(ADA_ID), LAN), facts=b"f", coordinate=place
    )
    assert open_statement(statement, "home") == Claim(
        ADA_ID, 7, False, (LAN,), b"f", place, stamp=5, statement=statement
    )


def test_a_leave_and_a_suspicion_come_back_too():
    left = open_statement(sign_claim(ADA, "", sequence=8, stamp=6, left=True), "")
    assert isinstance(left, Claim)
    assert left.left
    statement = sign_suspicion(BOB, "", ADA_ID, 8, 6)
    assert open_statement(statement, "") == Suspicion(BOB_ID, ADA_ID, 8, 6, statement)


def test_a_statement_says_nothing_in_another_network():
    for made, heard in (("home", ""), ("", "home"), ("home", "work")):
        with pytest.raises(PeerFault, match="another network"):
            open_statement(sign_claim(ADA, made, sequence=1, stamp=1), heard)


def test_nobody_claims_for_somebody_else():
    # The bytes that Ada signs, under Bob's key.
    import swarmnode.protocols.identity.fields as fields

    payload = fields.bytes_field(fields.decode_fields(CLAIM), 3)
    forged = seal(BOB.public_key, BOB.sign, DOMAIN, PAYLOAD_TYPE, payload)
    with pytest.raises(PeerFault) as caught:
        open_statement(forged, "")
    assert caught.value.code == "bad_signature"


def test_a_statement_for_another_purpose_is_none():
    for domain, kind, word in ((b"swarmnode/nickname/1", PAYLOAD_TYPE, "wrong"), (DOMAIN, b"/x", "else")):
        with pytest.raises(PeerFault, match=word):
            open_statement(seal(ADA.public_key, ADA.sign, domain, kind, b""), "")


@given(st.integers(0, len(CLAIM) * 8 - 1))
def test_no_bit_can_be_changed(bit: int):
    damaged = bytearray(CLAIM)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PeerFault):
        open_statement(bytes(damaged), "")


@given(st.integers(0, len(CLAIM) - 1))
def test_nothing_can_be_cut_off(length: int):
    with pytest.raises(PeerFault):
        open_statement(CLAIM[:length], "")


@given(st.binary(max_size=200))
def test_what_is_signed_need_not_make_sense(payload: bytes):
    try:
        open_statement(seal(ADA.public_key, ADA.sign, DOMAIN, PAYLOAD_TYPE, payload), "")
    except PeerFault as error:
        assert error.code in ("bad_claim", "bad_message", "bad_signature")


def test_many_long_addresses_are_cut_to_what_fits():
    many = [Multiaddr.parse(f"/dns4/{n:03}{'x' * 200}.example/tcp/1") for n in range(40)]
    for addresses in (many, [Multiaddr.parse(f"/ip4/10.0.0.{n}/tcp/1") for n in range(40)]):
        statement = sign_claim(
            ADA, "x", sequence=MAX_SEQUENCE, stamp=2**40, addresses=addresses, facts=bytes(32)
        )
        assert len(statement) <= MAX_STATEMENT_BYTES
        opened = open_statement(statement, "x")
        assert isinstance(opened, Claim)
        assert 5 < len(opened.addresses) <= MAX_ADDRESSES
        assert opened.addresses == tuple(addresses[: len(opened.addresses)])


def test_what_is_too_much_is_refused():
    with pytest.raises(Refused):
        sign_claim(ADA, "", sequence=1, stamp=1, facts=bytes(33))
    with pytest.raises(PeerFault, match="bytes"):
        open_statement(bytes(MAX_STATEMENT_BYTES + 1), "")
    with pytest.raises(PeerFault, match="sequence"):
        open_statement(sign_claim(ADA, "", sequence=MAX_SEQUENCE + 1, stamp=1), "")
