"""Where compiled kernels are kept between starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

NAME = "swarmnode"
FOLDER = "kernels"


def cache_directory(platform: str, environ: Mapping[str, str], home: str) -> PurePath:
    """The place for `sys.platform` = `platform`.

    Linux and other Unixes: `$XDG_CACHE_HOME/swarmnode/kernels` (an absolute one: the XDG Base Directory
    specification has relative ones ignored), else `~/.cache/swarmnode/kernels`. macOS:
    `~/Library/Caches/swarmnode/kernels`. Windows: `%LOCALAPPDATA%\\swarmnode\\kernels`.
    """
    if platform == "win32":
        local = environ.get("LOCALAPPDATA")
        base: PurePath = PureWindowsPath(local) if local else PureWindowsPath(home, "AppData", "Local")
    elif platform == "darwin":
        base = PurePosixPath(home, "Library", "Caches")
    else:
        shared = PurePosixPath(environ.get("XDG_CACHE_HOME", ""))
        base = shared if shared.is_absolute() else PurePosixPath(home, ".cache")
    return base / NAME / FOLDER


def own_cache_directory() -> Path:
    """That of this process. It need not exist, nor be writable: then kernels are compiled at every start."""
    return Path(cache_directory(sys.platform, os.environ, os.path.expanduser("~")))
