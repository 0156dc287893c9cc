"""Upstream providers: other people's model servers behind this node's APIs."""

from __future__ import annotations

from zope.interface import Attribute

from swarmnode.interfaces.plugin import IPluginDescription


class IProvider(IPluginDescription):
    """The description. Its factory is called in the node process as `factory(settings)`, with a
    `values.loading.ProviderSettings`, and returns an `interfaces.generation.IGenerator`.
    It must never block the reactor."""

    key_variables = Attribute("tuple of environment variables that may hold its API key")
