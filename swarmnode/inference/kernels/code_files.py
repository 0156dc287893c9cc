"""Machine code on disk, and what is known of it: kept between starts, believed only as far as is safe.

Whoever may write to the directory may run code. It belongs to the user alone (mode 0700); files that others
could have written are not read. Nothing here raises: a full, unwritable or damaged directory costs time at
the next start, nothing else.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from pathlib import Path

#: The longest file that is believed.
MAX_FILE_BYTES = 8 << 20
#: How much is kept: the oldest files go first.
MAX_FILES, MAX_BYTES = 600, 64 << 20
#: What a writer that died left behind is removed after so long.
STALE_SECONDS = 3600.0
_MARK = 32
_SUFFIX, _UNFINISHED = ".code", ".part"


class CodeFiles:
    """Files of one version, by name. Safe for several processes: a file appears whole or not at all.

    version: names the source that made the files; those of other versions are removed when something is
    written. directory None keeps nothing.
    """

    def __init__(self, directory: Path | None, version: str) -> None:
        self._directory = directory
        self._version = version

    def read(self, name: str) -> bytes | None:
        """What was kept under the name; None if nothing was, or it is not as it was written."""
        if self._directory is None or not _ours_alone(self._directory):
            return None
        path = self._path(self._directory, name)
        try:
            if not _ours_alone(path) or path.stat().st_size > MAX_FILE_BYTES + _MARK:
                return None
            data = path.read_bytes()
        except OSError:
            return None
        content = data[_MARK:]
        return content if data[:_MARK] == _mark(content) else None

    def write(self, name: str, content: bytes) -> None:
        """Keep the content; it replaces what was there."""
        if self._directory is None or len(content) > MAX_FILE_BYTES:
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _ours_alone(self._directory):
                return
            self._write(self._path(self._directory, name), _mark(content) + content)
            self._sweep(self._directory)
        except OSError:
            return

    def _write(self, path: Path, data: bytes) -> None:
        descriptor, unfinished = tempfile.mkstemp(_UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.replace(unfinished, path)  # on Windows it fails while another process reads: then theirs stays
        except OSError:
            Path(unfinished).unlink(missing_ok=True)
            raise

    def _path(self, directory: Path, name: str) -> Path:
        key = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
        return directory / f"{self._version}-{key}{_SUFFIX}"

    def _sweep(self, directory: Path) -> None:
        """Remove other versions' files, forgotten unfinished ones, and what is too much."""
        kept = []
        for path in directory.iterdir():
            try:
                found = path.stat()
            except OSError:
                continue  # another process removed it
            if path.suffix == _UNFINISHED and found.st_mtime < time.time() - STALE_SECONDS:
                path.unlink(missing_ok=True)
            elif path.suffix == _SUFFIX:
                kept.append((path.name.startswith(f"{self._version}-"), found.st_mtime, path, found.st_size))
        total = 0
        for number, (mine, _, path, size) in enumerate(sorted(kept, reverse=True)):
            total += size
            if not mine or number >= MAX_FILES or total > MAX_BYTES:
                path.unlink(missing_ok=True)


def _mark(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_MARK).digest()


def _ours_alone(path: Path) -> bool:
    """Whether nobody else may write there. Windows keeps users' own folders apart by itself."""
    if not hasattr(os, "getuid"):
        return True
    try:
        found = path.stat()
    except OSError:
        return False
    known = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    return known and found.st_uid == os.getuid() and not found.st_mode & 0o022
