"""Signed statements: libp2p signed envelopes, and the hand-over from one identity to the next."""
