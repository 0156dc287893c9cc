"""Putting the configuration together: flags over environment over file over defaults.

All that is wrong, in every source, is found before anything is reported, and is reported at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarmnode.config.config import Config, Origin
from swarmnode.config.dotenv import BadDotenv, ProviderKeys, read_dotenv
from swarmnode.config.file import exposed_secrets, read_file
from swarmnode.config.keys import KEYS
from swarmnode.config.paths import CONFIG_FILE, DOTENV_FILE, anchored, data_directory
from swarmnode.config.problems import Problems
from swarmnode.config.texts import Override, from_environment, from_flags

LayerValues = dict[str, tuple[Any, Origin]]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the loader reads of the process it runs in."""

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    working_dir: Path = field(default_factory=Path.cwd)
    home: Path = field(default_factory=lambda: Path(os.path.expanduser("~")))
    platform: str = sys.platform

    @property
    def default_data_dir(self) -> Path:
        return Path(data_directory(self.platform, self.environ, str(self.home)))

    def anchored(self, layer: LayerValues, base: Path) -> LayerValues:
        """The layer with its paths made absolute from `base`."""
        return {name: (self._absolute(value, base), origin) for name, (value, origin) in layer.items()}

    def _absolute(self, value: Any, base: Path) -> Any:
        return Path(anchored(value, base, str(self.home))) if isinstance(value, Path) else value


def load_config(
    overrides: Mapping[str, str] | Iterable[Override] = (),
    *,
    config_path: str | os.PathLike[str] | None = None,
    verbosity: int = 0,
    surroundings: Surroundings | None = None,
) -> Config:
    """The configuration of a node, from all its sources.

    overrides: the command line's, or texts by key; `node.data_dir` may be among them. config_path: a
    file that must exist; without it `config.toml` in the data directory is read if it is there. A data
    directory that the file itself names moves the data, not the file. verbosity: the number of -v flags.
    Raises `Refused(code="bad_config")` that lists every problem in every source.
    """
    around = surroundings or Surroundings()
    problems = Problems()
    if isinstance(overrides, Mapping):
        overrides = [Override(key, value, f"--set {key}") for key, value in overrides.items()]
    flags = around.anchored(from_flags(overrides, problems), around.working_dir)
    variables = around.anchored(from_environment(around.environ, problems), around.working_dir)
    early = {**variables, **flags}.get("node.data_dir", (None,))[0] or around.default_data_dir
    path = Path(anchored(Path(config_path), around.working_dir, str(around.home))) if config_path else None
    file = path or early / CONFIG_FILE
    read = read_file(file, problems, must_exist=path is not None)
    layers = around.anchored(read or {}, file.parent) | variables | flags
    data_dir = layers.get("node.data_dir", (None,))[0] or around.default_data_dir
    provider_keys, note = _provider_keys(around, data_dir, problems)
    problems.raise_if_any()
    notes = (note, exposed_secrets(file, read) if read else None)
    return Config(
        values={name: layers[name][0] if name in layers else key.default for name, key in KEYS.items()},
        origins={name: layers[name][1] if name in layers else Origin("default") for name in KEYS},
        data_dir=data_dir,
        file=file if read is not None else None,
        verbosity=verbosity,
        provider_keys=provider_keys,
        notes=tuple(text for text in notes if text),
    )


def _provider_keys(
    around: Surroundings, data_dir: Path, problems: Problems
) -> tuple[ProviderKeys, str | None]:
    """The `.env` files. The one in the data directory is ours: a fault in it is a problem. The one in the
    working directory may be another program's: a fault in it is only worth a note."""
    files: list[tuple[Path, Mapping[str, str]]] = []
    note = None
    for path in dict.fromkeys((data_dir / DOTENV_FILE, around.working_dir / DOTENV_FILE)):
        try:
            values = read_dotenv(path)
        except BadDotenv as error:
            if path.parent == data_dir:
                problems.add(f"{path}: {error}")
            else:
                note = f"{path}: {error}; the file is not used"
            continue
        if values is not None:
            files.append((path, values))
    return ProviderKeys(around.environ, tuple(files)), note
