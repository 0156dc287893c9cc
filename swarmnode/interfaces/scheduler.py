"""Schedulers: which node runs which layers of a request."""

from __future__ import annotations

from zope.interface import Interface

from swarmnode.interfaces.plugin import IPluginDescription


class IScheduler(IPluginDescription):
    """The description. Its factory takes no argument and returns an `IPlanner`."""


class IPlanner(Interface):
    """A pure decision: the same snapshot always gives the same plan."""

    def plan(snapshot):
        """From a `values.planning.SwarmSnapshot` make a `values.planning.PipelinePlan`, or raise
        `Unavailable` that names the layers nobody can run."""
