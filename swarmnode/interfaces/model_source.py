"""Model sources: where the bytes of a model can come from."""

from __future__ import annotations

from zope.interface import Interface

from swarmnode.interfaces.plugin import IPluginDescription


class IModelSource(IPluginDescription):
    """The description. Its factory is called as `factory(directories)` with a tuple of paths and
    returns an `IModelShelf`."""


class IModelShelf(Interface):
    """Model files that are at hand."""

    def paths():
        """Every model file there now (the first part of a split one) as a tuple of paths, in a fixed
        order. Called off the reactor thread; may touch the disk."""
