"""Models in local folders: `*.gguf`, in the folder itself and one level below."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from zope.interface import implementer

from swarmnode.interfaces.model_source import IModelShelf
from swarmnode.models.gguf import first_parts

MAX_FILES = 1000
MAX_NAMES_READ = 20_000

#: Files beside a model that hold its image encoder: no models by themselves.
_PROJECTOR = "mmproj"

_log = logging.getLogger(__name__)


@implementer(IModelShelf)
class FolderShelf:
    """directories: looked at in this order; those that do not exist are empty."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = tuple(Path(directory) for directory in directories)

    def paths(self) -> tuple[Path, ...]:
        """Model files, at most `MAX_FILES`, sorted by folder and name; a file that can be reached by two
        names counts once."""
        found: dict[str, Path] = {}
        for folder in self._folders():
            for path in _models_in(folder):
                found.setdefault(os.path.realpath(path), path)
                if len(found) == MAX_FILES:
                    return tuple(found.values())
        return tuple(found.values())

    def _folders(self) -> Iterator[Path]:
        for directory in self._directories:
            yield directory
            for name in _names(directory):
                if not name.startswith(".") and os.path.isdir(directory / name):
                    yield directory / name


def _models_in(folder: Path) -> Iterator[Path]:
    names = [n for n in _names(folder) if n.lower().endswith(".gguf") and not n.startswith((".", _PROJECTOR))]
    for name in first_parts(names):
        path = folder / name
        # A link into nothing and a pipe are no model files; a link to a file is.
        if path.is_file():
            yield path


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(MAX_NAMES_READ), strict=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _log.info("The folder %s cannot be looked at: %s", folder, error.strerror or error)
        return []
    return sorted(names)
