"""gossipsub v1.1 (libp2p specs, pubsub/gossipsub): messages to everybody who subscribed, through a mesh."""
