"""Transports: how secured connections come about. A transport may need securing and dividing into streams
(TCP: Noise and yamux above it) or bring both itself (QUIC); the host does not see the difference."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from swarmnode.interfaces.plugin import IPluginDescription


class ITransport(IPluginDescription):
    """The description. Its factory is called as `factory(identity, clock, entropy, settings)` and
    returns an `ICarrier`."""

    protocols = Attribute("tuple of multiaddr protocol names it dials, innermost last, as ('ip4', 'tcp')")


class ICarrier(Interface):
    """Dials and listens. What it yields is an `interfaces.host.Connection`: the peer is proven, streams
    can be opened. What takes too long is given up by the carrier itself, slow handshakes included."""

    def dials(address):
        """Whether it can dial this `Multiaddr`."""

    def dial(address, peer):
        """A Deferred of a `Connection`. peer: who must answer, or None for whoever does. Fails with a
        `SwarmnodeError`; cancelling gives up."""

    def listen(address, accept):
        """Listen on a `Multiaddr`; a Deferred of an `IListening`. `accept(connection)` is called for each
        inbound connection once it is secured."""


class IListening(Interface):
    """A listening address."""

    address = Attribute("the `Multiaddr` really listened on, the port filled in")
    ended = Attribute(
        "a Deferred that fails with a `SwarmnodeError` when it ends by itself; None: it never does"
    )

    def stop():
        """Listen no more; a Deferred. Connections stay."""
