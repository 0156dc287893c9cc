"""Transports: how bytes travel between nodes."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from swarmnode.interfaces.plugin import IPluginDescription


class ITransport(IPluginDescription):
    """The description. Its factory is called as `factory(identity)` and returns an `ICarrier`."""

    protocols = Attribute("tuple of multiaddr protocol names it dials, innermost last, as ('ip4', 'tcp')")


class ICarrier(Interface):
    """Dials and listens. Connections it yields are raw; securing them is the network's work."""

    def dial(address):
        """Connect to a multiaddr string; a Deferred of a Twisted transport."""

    def listen(address, accept):
        """Listen on a multiaddr string; a Deferred of a listening port; `accept(transport)` is
        called for each connection."""
