"""Discovery: how a node learns addresses of others."""

from __future__ import annotations

from zope.interface import Interface

from swarmnode.interfaces.plugin import IPluginDescription


class IDiscovery(IPluginDescription):
    """The description. Its factory is called as `factory(host, found, settings, reactor)`, with an
    `interfaces.host.Host`, `NetworkSettings` and what keeps time and makes sockets, and returns an
    `ISearch`; `found(peer, addresses, how)` is to be called with every peer met: its id or None,
    `Multiaddr`s, and the method's name."""


class ISearch(Interface):
    """A search under way."""

    def start():
        """Begin. Returns None or a Deferred that fires when the first round is over."""

    def stop():
        """End; release sockets and timers. Returns None or a Deferred."""
