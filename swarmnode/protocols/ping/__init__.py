"""libp2p ping."""
