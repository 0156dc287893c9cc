"""Protocol ids, topics and service names, and what a private network makes of them.

In a private network every id of ours carries 16 hexadecimal digits of the BLAKE3 of its name, so nodes of two
networks have nothing to say to each other; identify, ping and meshsub keep libp2p's ids. The proof that
a peer knows the name is bound to one connection by its handshake hash and to one role, so it
cannot be replayed or reflected.
"""

from __future__ import annotations

from blake3 import blake3

#: What both sides prove the name over, before any other stream is served.
PROOF_NAME = "network-proof/1"
_PROOF_CONTEXT = "swarmnode network proof 1"


def network_tag(network: str) -> str:
    """16 hexadecimal digits that stand for the name; empty for the public network."""
    return blake3(network.encode()).hexdigest()[:16] if network else ""


def protocol_id(name: str, network: str) -> str:
    """The id of one of our protocols: `protocol_id("kad/1", "")` is `/swarmnode/kad/1`."""
    tag = network_tag(network)
    return f"/swarmnode/{tag}/{name}" if tag else f"/swarmnode/{name}"


def topic_name(name: str, network: str) -> str:
    """The gossip topic of one of our six subjects, as `swarm/models`."""
    tag = network_tag(network)
    return f"swarm/{tag}/{name}" if tag else f"swarm/{name}"


def mdns_service(network: str) -> str:
    """The DNS-SD service that nodes announce (libp2p: `_p2p._udp.local`)."""
    tag = network_tag(network)
    return f"_p2p-{tag}._udp.local" if tag else "_p2p._udp.local"


def network_proof(network: str, handshake_hash: bytes, *, dialer: bool) -> bytes:
    """What the dialling (or listening) side of the connection shows: 32 bytes."""
    key = blake3(network.encode(), derive_key_context=_PROOF_CONTEXT).digest()
    return blake3((b"dialer" if dialer else b"listener") + handshake_hash, key=key).digest()
