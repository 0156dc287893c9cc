"""libp2p's multicast DNS: peers on the same network."""
