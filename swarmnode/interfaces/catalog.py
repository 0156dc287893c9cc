"""The models this node could run, and the workers that run them."""

from __future__ import annotations

from zope.interface import Interface


class IModelCatalog(Interface):
    """The one owner of which model files exist. `cards` never touches the disk."""

    def cards():
        """All models as a tuple of `ModelCard`, the default one first."""

    def rescan():
        """Look at the disk again; a Deferred of the new cards."""


class IWorkerPool(Interface):
    """The one owner of worker processes. Loads on demand, unloads what is idle or in the way."""

    def generate(card, request, sink):
        """Run the request in the model's worker (started when needed); return an `IGeneration`."""

    def stage(card, layers, name):
        """Keep the worker that has these layers of the model (`LayerRange`; None: all, and the text) for a
        session of this name; loads it when needed. Returns a `workers.stage_lease.StageLease`, which is a
        `driving.pipeline.StageHandle` once its `ready()` has fired. Raises a `SwarmnodeError`."""

    def loaded():
        """A tuple of `values.loading.LoadedModel`, the most recently used first."""

    def unload(label):
        """End the model's worker; a Deferred of whether there was one."""

    def stop():
        """End all workers in order; a Deferred."""
