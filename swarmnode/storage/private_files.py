"""Small files that only the owner may read: written whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
import time
from pathlib import Path

from swarmnode.values.errors import LocalFault, Refused

OWNER_ONLY_FILE = 0o600
OWNER_ONLY_DIRECTORY = 0o700
MAX_PRIVATE_FILE_BYTES = 64 * 1024
LEFTOVER_SECONDS = 60.0

_log = logging.getLogger(__name__)


def make_private_directory(path: Path) -> None:
    """Create the directory (mode 0700) and its parents where they are missing. Raises `Refused`."""
    try:
        path.mkdir(mode=OWNER_ONLY_DIRECTORY, parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if isinstance(error, FileExistsError) else error.strerror or error
        raise Refused(
            f"The directory {path} cannot be used: {reason}",
            code="data_dir_unusable",
            hint="Choose another one with --data-dir, or give yourself the right to write there.",
        ) from error


def read_private(path: Path) -> bytes | None:
    """The file's bytes, or None when there is none. A file that others may read is closed to them,
    with a warning. Raises `LocalFault` for what cannot be read or is too large to be ours."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            data = file.read(MAX_PRIVATE_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if len(data) > MAX_PRIVATE_FILE_BYTES:
        raise _unreadable(path, f"it is larger than {MAX_PRIVATE_FILE_BYTES} bytes")
    if os.name == "posix" and status.st_mode & 0o077:
        _close_to_others(path, stat.S_IMODE(status.st_mode))
    return data


def create_private(path: Path, data: bytes) -> bool:
    """Create the file, mode 0600, with its whole content, and flush it to the disk.

    False, and nothing changed, when there already is a file of that name.
    """
    temporary = _write_beside(path, data)
    try:
        _put_new(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _flush_directory(path.parent)
    return True


def replace_private(path: Path, data: bytes) -> None:
    """Put a new content in the place of the old one: after a crash it is one or the other."""
    temporary = _write_beside(path, data)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _flush_directory(path.parent)


def sweep_leftovers(path: Path, stamp: float | None = None) -> None:
    """Remove what a process killed in the middle of writing `path` left beside it.

    What is younger than a minute may be somebody's work in progress. stamp: the time now (Unix).
    """
    oldest = (time.time() if stamp is None else stamp) - LEFTOVER_SECONDS
    for leftover in path.parent.glob(f"{_prefix(path)}*"):
        with contextlib.suppress(FileNotFoundError):
            if leftover.stat().st_mtime < oldest:
                leftover.unlink()


def _prefix(path: Path) -> str:
    return f".{path.name}.new-"


def _write_beside(path: Path, data: bytes) -> Path:
    # mkstemp opens with O_EXCL and mode 0600: at no moment can others read the file.
    try:
        descriptor, name = tempfile.mkstemp(prefix=_prefix(path), dir=path.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    return Path(name)


def _put_new(temporary: Path, path: Path) -> None:
    """Give the file its name unless the name is taken; a hard link does both in one step."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links: the node's lock on the directory keeps others out.
        if path.exists():
            raise FileExistsError(path) from None
        temporary.rename(path)


def _flush_directory(path: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a directory; its renames are journalled.
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _close_to_others(path: Path, mode: int) -> None:
    try:
        path.chmod(OWNER_ONLY_FILE)
    except OSError as error:
        _log.warning("%s can be read by others (mode %04o), which cannot be changed: %s", path, mode, error)
    else:
        _log.warning("%s could be read by others (mode %04o); its mode is now 0600", path, mode)


def _unreadable(path: Path, reason: str) -> LocalFault:
    return LocalFault(
        f"{path} cannot be read: {reason}",
        code="private_file_unreadable",
        hint="Check who owns the file; the user that runs the node must be able to read it.",
    )


def _unwritable(path: Path, error: OSError) -> LocalFault:
    return LocalFault(
        f"{path} cannot be written: {error.strerror or error}",
        code="private_file_unwritable",
        hint="Check the free space and the rights on the data directory.",
    )
