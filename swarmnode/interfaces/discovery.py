"""Discovery: how a node learns addresses of others."""

from __future__ import annotations

from zope.interface import Interface

from swarmnode.interfaces.plugin import IPluginDescription


class IDiscovery(IPluginDescription):
    """The description. Its factory is called as `factory(found)` and returns an `ISearch`;
    `found(address, how)` is to be called with every address met, as a multiaddr string."""


class ISearch(Interface):
    """A search under way."""

    def start():
        """Begin. Returns a Deferred that fires when the first round is over."""

    def stop():
        """End; release sockets and timers. Returns a Deferred."""
