"""Names in networks: what two of them have in common is nothing."""

from __future__ import annotations

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.ids import (
    PROOF_NAME,
    mdns_service,
    network_proof,
    network_tag,
    protocol_id,
    topic_name,
)

names = st.text(min_size=1, max_size=30)


def test_the_public_network_has_plain_names() -> None:
    assert protocol_id("kad/1", "") == "/swarmnode/kad/1"
    assert protocol_id(PROOF_NAME, "") == "/swarmnode/network-proof/1"
    assert topic_name("models", "") == "swarm/models"
    assert mdns_service("") == "_p2p._udp.local"


def test_a_private_networks_names_carry_its_hash() -> None:
    tag = blake3(b"ours").hexdigest()[:16]
    assert network_tag("ours") == tag
    assert protocol_id("kad/1", "ours") == f"/swarmnode/{tag}/kad/1"
    assert topic_name("models", "ours") == f"swarm/{tag}/models"
    assert mdns_service("ours") == f"_p2p-{tag}._udp.local"


@given(names, names)
def test_two_networks_have_no_name_in_common(one: str, other: str) -> None:
    for make in (mdns_service, lambda name: protocol_id("x/1", name), lambda name: topic_name("x", name)):
        assert make(one) != make("")
        assert (make(one) == make(other)) == (one == other)


@given(names, names, st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_proof_is_of_one_network_one_connection_and_one_side(
    one: str, other: str, first: bytes, second: bytes
) -> None:
    proof = network_proof(one, first, dialer=True)
    assert len(proof) == 32
    assert proof != network_proof(one, first, dialer=False)
    assert (proof == network_proof(other, first, dialer=True)) == (one == other)
    assert (proof == network_proof(one, second, dialer=True)) == (first == second)
