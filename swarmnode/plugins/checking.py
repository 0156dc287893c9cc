"""Whether a description can be trusted to be one, and whether what it describes is at hand."""

from __future__ import annotations

import importlib.util
import re
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

from zope.interface import Interface, Invalid
from zope.interface.verify import verifyObject

from swarmnode.interfaces.discovery import IDiscovery
from swarmnode.interfaces.inference_backend import IInferenceBackend
from swarmnode.interfaces.model_source import IModelSource
from swarmnode.interfaces.provider import IProvider
from swarmnode.interfaces.scheduler import IScheduler
from swarmnode.interfaces.transport import ITransport

#: The kinds, in the order in which they are listed.
KINDS: dict[str, type[Interface]] = {
    "inference_backend": IInferenceBackend,
    "scheduler": IScheduler,
    "provider": IProvider,
    "model_source": IModelSource,
    "discovery": IDiscovery,
    "transport": ITransport,
}

#: Words that mean something else where a plug-in's name may stand.
FORBIDDEN_NAMES = frozenset(
    ("all", "auto", "builtin", "cloud", "default", "hybrid", "local", "network", "none", "off", "on", "swarm")
)
MAX_SUMMARY_CHARS = 120

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_DOTTED = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
_FACTORY = re.compile(rf"{_DOTTED}:{_DOTTED}")
_MODULE = re.compile(_DOTTED)


def kind_of(plugin: Any) -> str | None:
    """Which kind of plug-in it says it is."""
    return next((kind for kind, interface in KINDS.items() if interface.providedBy(plugin)), None)


def find_fault(kind: str, plugin: Any) -> str | None:
    """What is wrong with a description of that kind, in words; None when it is as it should be."""
    try:
        verifyObject(KINDS[kind], plugin)
    except Invalid as error:
        return " ".join(str(error).split())
    name, summary, factory, requires = plugin.name, plugin.summary, plugin.factory, plugin.requires
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"the name {name!r} is not of lower-case letters, digits and dashes (at most 32)"
    if name in FORBIDDEN_NAMES:
        return f"the name {name!r} is reserved"
    if not isinstance(summary, str) or not summary.isprintable() or not 0 < len(summary) <= MAX_SUMMARY_CHARS:
        return f"the summary is not one line of 1 to {MAX_SUMMARY_CHARS} characters"
    if not isinstance(factory, str) or not _FACTORY.fullmatch(factory):
        return f"the factory {factory!r} is not of the form package.module:attribute"
    if not isinstance(requires, tuple) or not all(
        isinstance(m, str) and _MODULE.fullmatch(m) for m in requires
    ):
        return f"requires is {requires!r}, not a tuple of module names"
    return None


def missing_modules(plugin: Any) -> tuple[str, ...]:
    """The modules that it needs and that are not installed. Nothing is imported to find out."""
    needed = (*plugin.requires, plugin.factory.partition(":")[0])
    return tuple(dict.fromkeys(name for name in needed if not is_installed(name)))


def is_installed(module: str) -> bool:
    """Whether the module could be found; unlike `find_spec`, without importing its parents."""
    first, *rest = module.split(".")
    try:
        spec: ModuleSpec | None = importlib.util.find_spec(first)
        path = first
        for part in rest:
            if spec is None or spec.submodule_search_locations is None:
                return False
            path = f"{path}.{part}"
            spec = PathFinder.find_spec(path, list(spec.submodule_search_locations))
    except (ImportError, ValueError):
        return False
    return spec is not None
