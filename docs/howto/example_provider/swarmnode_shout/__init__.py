"""A provider to learn from."""
