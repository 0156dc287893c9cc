"""The files of the web page, read once at the start.

No path from the network ever reaches the file system: a request looks its path up in a table.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import swarmnode
from swarmnode.values.errors import LocalFault

MAX_FILES = 2000
MAX_BYTES = 32 << 20

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_FOLDERS = {"static": "/static/", "i18n": "/static/i18n/"}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is served: its bytes, type, and the ETag that its bytes give it."""

    body: bytes
    content_type: bytes
    etag: bytes


@dataclass(frozen=True, slots=True)
class Assets:
    """files: by URL path. shells: the page's HTML files by name, without folder."""

    files: dict[str, Asset]
    shells: dict[str, Asset]

    @classmethod
    def load(cls, folder: Path) -> Assets:
        """Read a page's folder: `*.html` in it, and all files below `static` and `i18n`. Raises
        `LocalFault` for a folder without a page or beyond the bounds. Links are not followed."""
        shells = {path.name: _read(path) for path in sorted(folder.glob("*.html"))}
        if "index.html" not in shells:
            raise _no_page(folder)
        files: dict[str, Asset] = {}
        for name, prefix in _FOLDERS.items():
            for path in sorted((folder / name).rglob("*")):
                if path.is_file() and not path.is_symlink():
                    files[prefix + path.relative_to(folder / name).as_posix()] = _read(path)
        if len(files) > MAX_FILES or sum(len(asset.body) for asset in files.values()) > MAX_BYTES:
            raise LocalFault(f"The page in {folder} has too many or too large files", code="bad_page")
        return cls(files, shells)


def page_directory() -> Path:
    """Where the page's files are: in the package, or in `web_ui` of a checkout. Raises `LocalFault`."""
    package = Path(swarmnode.__file__).resolve().parent
    for folder in (package / "web_ui", package.parent / "web_ui"):
        if (folder / "index.html").is_file():
            return folder
    raise _no_page(package / "web_ui")


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Asset(body, kind.encode("ascii"), b'"%s"' % hashlib.sha256(body).hexdigest()[:32].encode("ascii"))


def _no_page(folder: Path) -> LocalFault:
    return LocalFault(f"There is no web page in {folder}", code="bad_page", hint="Install the package again.")
