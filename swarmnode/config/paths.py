"""Where the data directory is on each platform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath, PurePosixPath, PureWindowsPath

NAME = "swarmnode"
CONFIG_FILE = "config.toml"
DOTENV_FILE = ".env"
API_KEY_FILE = "api_key"


def data_directory(platform: str, environ: Mapping[str, str], home: str) -> PurePath:
    """The default data directory for `sys.platform` = `platform`.

    Linux and other Unixes: `$XDG_DATA_HOME/swarmnode` (an absolute one: the XDG Base Directory
    specification has relative ones ignored), else `~/.local/share/swarmnode`. macOS:
    `~/Library/Application Support/swarmnode`. Windows: `%APPDATA%\\swarmnode`.
    """
    if platform == "win32":
        roaming = environ.get("APPDATA")
        return (PureWindowsPath(roaming) if roaming else PureWindowsPath(home, "AppData", "Roaming")) / NAME
    if platform == "darwin":
        return PurePosixPath(home, "Library", "Application Support", NAME)
    shared = PurePosixPath(environ.get("XDG_DATA_HOME", ""))
    return (shared if shared.is_absolute() else PurePosixPath(home, ".local", "share")) / NAME


def anchored(path: PurePath, base: PurePath, home: str) -> PurePath:
    """`path` with a leading `~` replaced by `home`, and made absolute from `base`."""
    if path.parts[:1] == ("~",):
        return type(base)(home, *path.parts[1:])
    return base / path
