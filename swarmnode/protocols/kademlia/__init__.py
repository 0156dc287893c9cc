"""libp2p's Kademlia: the distributed table of peers, records and providers."""
