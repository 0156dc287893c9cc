"""Keys of the peer-to-peer network."""

from __future__ import annotations

from typing import Any

from swarmnode.config.key import Key
from swarmnode.config.kinds import Address, Boolean, Integer, Kind, Optional, Text, TextList

ON_OFF = Boolean()
MAX_PEERS = 100_000


def _network(name: str, kind: Kind, default: Any, doc: str) -> Key:
    return Key("network", name, kind, default, doc)


# A row a key is easier to read than a call a screen.
# fmt: off
KEYS = (
    _network("listen_address", Address(), "0.0.0.0",  # noqa: S104 - P2P; the APIs have a key of their own
             "Address that P2P (TCP and QUIC) listens on. The APIs have `api.listen_address`."),
    _network("bootstrap_peers", TextList(), (), "Multiaddrs of peers to connect to at start."),
    _network("disable_default_bootstrap", ON_OFF, True,
             "Use no meeting points but those in `bootstrap_peers`."),
    _network("trusted_peers", TextList(), (), "Peer ids that you vouch for: they may see text."),
    _network("gossip_network_id", Optional(Text()), None,
             "Name of a private network. Only nodes with the same name can talk to each other."),
    _network("enable_mdns", ON_OFF, True, "Find peers on the local network."),
    _network("peer_exchange", ON_OFF, True, "Tell connected peers about other peers."),
    _network("max_peers", Integer(0, MAX_PEERS), 0,
             "Most peers connected at once. 0: 150, 300 or 500, by contribution."),
    _network("max_connections_per_peer", Integer(1, 16), 3, "Most connections to one peer."),
    _network("enable_quic", ON_OFF, True, "Listen and dial with QUIC (UDP) too."),
    _network("enable_upnp", ON_OFF, True, "Ask the router to forward the ports."),
    _network("enable_autonat", ON_OFF, True, "Find out whether others can reach this node."),
    _network("enable_dcutr", ON_OFF, True, "Make direct connections through routers (hole punching)."),
    _network("enable_relay", ON_OFF, True, "Be a relay for peers behind routers."),
    _network("enable_relay_client", ON_OFF, True, "Use relays when behind a router."),
    _network("auto_relay", ON_OFF, True, "Do so by itself when a router is detected."),
    _network("relay_max_circuits", Integer(0, 65536), 128, "Most relayed connections to serve."),
    _network("relay_max_circuit_duration_secs", Integer(1, 604800), 3600,
             "Longest relayed connection, in seconds."),
    _network("relay_forwarding", ON_OFF, False, "Also relay activations of split runs."),
    _network("relay_forwarding_auto", ON_OFF, True, "Do so by itself where two stages cannot connect."),
    _network("enable_encryption", ON_OFF, True,
             "Seal activations and control messages between the two ends."),
    _network("tensor_compression", ON_OFF, True, "Compress activations with zstd."),
    _network("tensor_compress_level", Integer(1, 22), 1,
             "zstd level of activations and prefix KV. 1 is the fastest."),
    _network("tensor_compress_threshold", Integer(0, 1 << 30), 1024,
             "Smallest payload that is compressed, in bytes."),
    _network("prefix_kv_compression", ON_OFF, False,
             "Compress prefix KV sent to peers. Receivers always take both."),
)
# fmt: on
