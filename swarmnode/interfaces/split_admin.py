"""Trying out a model that is cut over nodes, as the owner of one asks for it."""

from __future__ import annotations

from zope.interface import Interface


class ISplitAdmin(Interface):
    """Compares what a model says whole and cut."""

    def compare(wish):
        """Run a `values.splitting.SplitWish`: the model whole in a worker of this node, then cut, with some
        of its layers on a peer. A Deferred of a JSON-able dict: `ok`, `model`, `peer`, `split`, `remote`,
        `profile`, `scenarios` (each with `scenario`, `tokens`, `identical`, `seconds`, `whole_seconds`) and
        `texts`. Fails with a `SwarmnodeError`; cancelling stops the work on both nodes."""
