"""Signed peer records: js-libp2p's bytes, ours, and forgeries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.identify.peer_record import (
    DOMAIN,
    MAX_RECORD_BYTES,
    PAYLOAD_TYPE,
    PeerRecord,
    open_record,
    own_addresses,
    seal_record,
)
from swarmnode.protocols.identity.envelope import seal
from swarmnode.testing.fake_host import fake_key, signer_of
from swarmnode.values.errors import PeerFault
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id, peer_id_bytes

SIGNER, OTHER = signer_of(fake_key(1)), signer_of(fake_key(2))
PEER = peer_id(SIGNER.public_key)
HERE = (Multiaddr.parse("/ip4/10.0.0.1/tcp/8810"), Multiaddr.parse("/ip6/::1/udp/1/quic-v1"))
SEALED = seal_record(SIGNER, 7, HERE)


def signed(payload: bytes, payload_type: bytes = PAYLOAD_TYPE, domain: bytes = DOMAIN) -> bytes:
    return seal(SIGNER.public_key, SIGNER.sign, domain, payload_type, payload)


def test_a_record_comes_back() -> None:
    assert open_record(SEALED) == PeerRecord(PEER, 7, HERE, SEALED)


def test_the_payload_is_as_the_rfc_has_it() -> None:
    payload = b"\x0a\x26" + peer_id_bytes(PEER) + b"\x10\x07"
    for address in HERE:
        data = address.to_bytes()
        payload += bytes([0x1A, len(data) + 2, 0x0A, len(data)]) + data
    assert signed(payload) == SEALED


def test_addresses_may_end_in_the_own_id_and_in_no_other() -> None:
    stranger = peer_id(OTHER.public_key)
    relay = Multiaddr.parse(f"/ip4/1.2.3.4/tcp/1/p2p/{stranger}/p2p-circuit")
    claimed = (HERE[0].with_peer(PEER), HERE[1].with_peer(stranger), relay, Multiaddr.parse(f"/p2p/{PEER}"))
    assert own_addresses(PEER, claimed) == (HERE[0], relay)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (signed(b"\x0a\x26" + peer_id_bytes(peer_id(OTHER.public_key))), "bad_signature"),
        (signed(b""), "bad_signature"),
        (signed(b"\x0a\xff"), "bad_message"),
        (signed(b"", payload_type=b"\x03\x02"), "bad_message"),
        (signed(b"", domain=b"libp2p-relay-rsvp"), "bad_signature"),
        (SEALED[:-1] + bytes([SEALED[-1] ^ 1]), "bad_signature"),
        (SEALED.replace(b"\x10\x07", b"\x10\x08"), "bad_signature"),
        (bytes(MAX_RECORD_BYTES + 1), "oversized_message"),
        (b"", "bad_statement"),
    ],
)
def test_forgeries_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(PeerFault) as refusal:
        open_record(data)
    assert refusal.value.code == code


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
def test_no_byte_can_be_changed(at: int, change: int) -> None:
    data = SEALED[:at] + bytes([SEALED[at] ^ change]) + SEALED[at + 1 :]
    with pytest.raises(PeerFault):
        open_record(data)


@given(st.binary(max_size=300))
def test_whatever_is_signed_is_read_or_refused(payload: bytes) -> None:
    for envelope in (payload, signed(payload), signed(b"\x0a\x26" + peer_id_bytes(PEER) + payload)):
        try:
            assert open_record(envelope).peer == PEER
        except PeerFault:
            continue
