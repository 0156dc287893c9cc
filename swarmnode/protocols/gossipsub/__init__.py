"""gossipsub v1.1: messages to everybody who listens to a topic."""
