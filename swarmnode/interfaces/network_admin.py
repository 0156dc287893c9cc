"""The peer-to-peer network as its owner sees it, through the API and the command line."""

from __future__ import annotations

from zope.interface import Interface


class INetworkAdmin(Interface):
    """Every dict is JSON-able; what was not measured or is not known is left out of it. Deferreds fail with
    a `SwarmnodeError`, and cancelling them gives up."""

    def peers():
        """A list of dicts, one a live peer other than this node: `node_id`, `connected`, `healthy`,
        `trust_score`, `addresses`, `how_found`, and what else is known of it."""

    def code():
        """A Deferred of a dict: `code` (`swarm://...`, to be given to another node), `addresses` in it,
        `phase` (`alone` or `connected`), `peers` (a count)."""

    def join(text):
        """Connect to the node that an invite code or an address stands for. A Deferred of a dict: `node_id`,
        `address`."""

    def examine():
        """A Deferred of a dict: what the node finds wrong with its own network, its addresses, and for each
        peer clock, round trips and bandwidth."""

    def explain(text):
        """Why this node and the one that a peer id, an address or an invite code stands for do not meet. A
        Deferred of a dict: `meets`, `steps` and, where they do not meet, `cause` and `advice`."""
