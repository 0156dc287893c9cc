"""Twisted adapters for worker processes: spawning, supervision, the node's end of the link."""
