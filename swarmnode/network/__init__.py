"""Twisted adapters for sockets, timers and the HTTP port."""
