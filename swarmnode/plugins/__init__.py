"""Plug-ins: ours, and those of others who put a module beside them.

This package follows the convention of `twisted.plugin`: any directory `swarmnode/plugins` on the Python
path that has no `__init__.py` belongs to it, and every module in it is read for descriptions.
"""

from __future__ import annotations

from twisted.plugin import pluginPackagePaths

__path__.extend(path for path in pluginPackagePaths(__name__) if path not in __path__)

from swarmnode.plugins.discovery import Discovery, Entry, Problem, discover, load  # noqa: E402

__all__ = ["Discovery", "Entry", "Problem", "discover", "load"]
