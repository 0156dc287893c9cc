"""Adapters to other people's model servers."""
