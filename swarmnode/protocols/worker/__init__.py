"""The link between the node and a worker process."""
