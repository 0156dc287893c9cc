"""Caches of layers: one interface for every kind of layer (DESIGN 6)."""
