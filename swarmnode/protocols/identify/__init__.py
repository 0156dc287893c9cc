"""libp2p identify, identify/push and signed peer records: who a peer is, where, and what it speaks."""
