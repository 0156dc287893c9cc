"""The node as its APIs see it."""

from __future__ import annotations

from zope.interface import Attribute, Interface


class IResponseCore(Interface):
    """The one way a request becomes an answer, whichever API it came through."""

    def submit(request, sink):
        """Take a `GenerationRequest` whose `model` is as the client wrote it (a label, a unique
        prefix, `auto` or empty) and run it; events go to the `IEventSink`, possibly before this
        returns; returns an `IGeneration`. Never raises for what the request says: an unknown model,
        a full queue and the like arrive as `Failed`."""

    def cards():
        """The models that can be asked for, as a tuple of `ModelCard`, the default first."""

    def find(name):
        """The `ModelCard` that `name` stands for; raises `Refused(code='model_not_found')`."""


class INodeStatus(Interface):
    """Facts about the running node."""

    version = Attribute("the version of the software")
    peer_id = Attribute("libp2p peer id, `12D3KooW...`")

    def readiness():
        """A dict from subsystem name to bool, in start order; ready when all are true."""

    def status():
        """The JSON-able dict of `GET /v1/status`: node_id, peer_id, addresses, version, uptime_seconds,
        ready, active_requests, peers, models (loaded), ..."""

    def stats():
        """The JSON-able dict of `GET /api/admin/stats`."""

    def shut_down(reason):
        """Begin an orderly stop; returns at once."""


class IKeyRing(Interface):
    """Who may call. The comparison takes constant time."""

    def allows(key):
        """Whether the text is the API key of this node."""

    def api_key():
        """The key itself, for the owner's own page and for loopback."""
