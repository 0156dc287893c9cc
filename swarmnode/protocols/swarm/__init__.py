"""The swarm's own protocols: messages, who may speak, membership, sealing."""
