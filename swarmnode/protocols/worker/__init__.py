"""The link between the node and a worker: its messages, its frames and the machines at both ends."""
