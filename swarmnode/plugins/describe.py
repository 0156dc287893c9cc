"""Descriptions of plug-ins: one class a kind, to be instantiated at the top of a plug-in module.

Importing this module imports nothing heavy, and neither must a plug-in module: what does the work is named
by `factory` and imported when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.plugin import IPlugin
from zope.interface import implementer

from swarmnode.interfaces.discovery import IDiscovery
from swarmnode.interfaces.inference_backend import IInferenceBackend
from swarmnode.interfaces.model_source import IModelSource
from swarmnode.interfaces.plugin import IPluginDescription
from swarmnode.interfaces.provider import IProvider
from swarmnode.interfaces.scheduler import IScheduler
from swarmnode.interfaces.transport import ITransport


@implementer(IPlugin, IPluginDescription)
@dataclass(frozen=True)
class Description:
    """What every kind says of itself; see `interfaces.plugin.IPluginDescription`."""

    name: str
    summary: str
    factory: str
    requires: tuple[str, ...] = ()


@implementer(IInferenceBackend)
@dataclass(frozen=True)
class InferenceBackend(Description):
    """Runs models in a worker process."""

    needs_file: bool = True


@implementer(IScheduler)
@dataclass(frozen=True)
class Scheduler(Description):
    """Decides which node runs which layers."""


@implementer(IProvider)
@dataclass(frozen=True)
class Provider(Description):
    """Somebody else's model server, behind this node's APIs."""

    key_variables: tuple[str, ...] = ()


@implementer(IModelSource)
@dataclass(frozen=True)
class ModelSource(Description):
    """Where model files come from."""


@implementer(IDiscovery)
@dataclass(frozen=True)
class DiscoveryMethod(Description):
    """How addresses of other nodes are learnt."""


@implementer(ITransport)
@dataclass(frozen=True)
class Transport(Description):
    """How bytes travel between nodes."""

    protocols: tuple[str, ...] = ()
