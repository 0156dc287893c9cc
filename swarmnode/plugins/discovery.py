"""Finding plug-ins: reading descriptions, importing nothing that they describe.

The modules are those that `twisted.plugin.getPlugins` reads, and a test holds the two together. They are
read here without its cache, so that a broken module is named in plain words instead of a traceback, and
nothing is written into the directories of an installation (docs/decisions/plugin-discovery.md).
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from twisted.plugin import IPlugin

from swarmnode.plugins.checking import KINDS, find_fault, kind_of, missing_modules
from swarmnode.plugins.origins import BUILT_IN, distribution_of
from swarmnode.values.errors import LocalFault, Refused

MAX_MODULES = 500
MAX_PLUGINS = 1000

_PACKAGE = "swarmnode.plugins"
_OURS = "swarmnode.plugins.builtin"


@dataclass(frozen=True, slots=True)
class Entry:
    """A plug-in that was found.

    kind: a key of `checking.KINDS`. origin: `built in`, a distribution and its version, or a file.
    reason: why it is not available, empty when it is. description: the object itself.
    """

    kind: str
    name: str
    summary: str
    factory: str
    origin: str
    file: str
    available: bool
    reason: str
    description: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stands where plug-ins stand, and why it was left out."""

    origin: str
    error: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found. Entries are ordered by kind, ours first, then by name."""

    entries: tuple[Entry, ...]
    problems: tuple[Problem, ...]

    def of_kind(self, kind: str) -> tuple[Entry, ...]:
        """The entries of one kind."""
        return tuple(entry for entry in self.entries if entry.kind == kind)

    def find(self, kind: str, name: str) -> Entry:
        """The entry of that kind and name. Raises `Refused` that names those there are."""
        entries = self.of_kind(kind)
        for entry in entries:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in entries) or "none"
        raise Refused(
            f"There is no {kind.replace('_', ' ')} called {name!r}",
            code="unknown_plugin",
            hint=f"Installed are: {known}. `swarmnode plugins` shows what was found and what was skipped.",
        )


def discover() -> Discovery:
    """Read all descriptions now. What is broken is skipped and reported, never raised."""
    importlib.invalidate_caches()
    problems: list[Problem] = []
    entries: dict[tuple[str, str], Entry] = {}
    for module in _modules(problems):
        for plugin in _plugins(module):
            _enter(module, plugin, entries, problems)
    order = list(KINDS)
    ranked = sorted(entries.values(), key=lambda e: (order.index(e.kind), e.origin != BUILT_IN, e.name))
    return Discovery(tuple(ranked), tuple(problems))


def load(entry: Entry) -> Any:
    """The factory that the entry names. Raises `LocalFault` that names the plug-in, where it comes
    from and what went wrong."""
    module_name, _, attribute = entry.factory.partition(":")
    if not entry.available:
        raise _broken(entry, entry.reason)
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise _broken(entry, f"{type(error).__name__}: {error}") from error
    if not callable(found):
        raise _broken(entry, f"{entry.factory} is not callable")
    return found


def _modules(problems: list[Problem]) -> Iterator[ModuleType]:
    """Every module of the package that can be imported, our own first, then by name."""
    seen: dict[str, str] = {}
    for name, path in _files():
        if name in seen:
            # Python knows one module of a name: that of the first directory.
            problems.append(Problem(path, f"it is hidden by {seen[name]}"))
            continue
        seen[name] = path
        try:
            module = importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plug-in may even call sys.exit
            sys.modules.pop(name, None)
            problems.append(Problem(path, f"{type(error).__name__}: {error}"))
        else:
            yield module


def _files() -> list[tuple[str, str]]:
    """Module names and their files, those of one name in the order of the package's directories."""
    package = importlib.import_module(_PACKAGE)
    found: list[tuple[str, str]] = []
    for directory in package.__path__:
        for finder, name, _ in pkgutil.iter_modules([directory]):
            spec = finder.find_spec(name, None)
            found.append((f"{_PACKAGE}.{name}", str(spec.origin) if spec else directory))
    return sorted(found[:MAX_MODULES], key=lambda item: (item[0] != _OURS, item[0]))


def _plugins(module: ModuleType) -> list[Any]:
    """What in the module says it is a plug-in."""
    found: list[Any] = []
    for value in list(vars(module).values()):
        try:
            if IPlugin.providedBy(value) and not any(value is other for other in found):
                found.append(value)
        except Exception:  # noqa: S112 - an object that breaks when it is asked is no plug-in of ours
            continue
    return found[:MAX_PLUGINS]


def _enter(
    module: ModuleType, plugin: Any, entries: dict[tuple[str, str], Entry], problems: list[Problem]
) -> None:
    if any(entry.description is plugin for entry in entries.values()):
        return  # a module that imports another one's description
    file = str(module.__file__)
    origin = BUILT_IN if module.__name__ == _OURS else distribution_of(file) or file
    kind = kind_of(plugin)
    try:
        fault = "it is of no kind that this version knows" if kind is None else find_fault(kind, plugin)
    except Exception as error:
        fault = f"{type(error).__name__}: {error}"
    if kind is None or fault:
        problems.append(Problem(origin, f"{_text(plugin)}: {fault}"))
        return
    taken = entries.get((kind, plugin.name))
    if taken:
        problems.append(
            Problem(origin, f"the {kind.replace('_', ' ')} {plugin.name!r} is already {taken.origin}")
        )
        return
    entries[kind, plugin.name] = _entry(kind, plugin, origin, file)


def _entry(kind: str, plugin: Any, origin: str, file: str) -> Entry:
    missing = missing_modules(plugin)
    return Entry(
        kind=kind,
        name=plugin.name,
        summary=plugin.summary,
        factory=plugin.factory,
        origin=origin,
        file=file,
        available=not missing,
        reason=f"not installed: {', '.join(missing)}" if missing else "",
        description=plugin,
    )


def _text(plugin: Any) -> str:
    try:
        return repr(plugin)[:200]
    except Exception:
        return f"<{type(plugin).__name__}>"


def _broken(entry: Entry, error: str) -> LocalFault:
    return LocalFault(
        f"The {entry.kind.replace('_', ' ')} {entry.name!r} ({entry.origin}) cannot be used: {error}",
        code="plugin_broken",
        hint="Install what is missing, or update or uninstall the plug-in.",
    )
