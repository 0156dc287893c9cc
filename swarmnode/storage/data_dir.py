"""One node a data directory: an advisory lock that names its holder."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from swarmnode.storage.private_files import OWNER_ONLY_FILE, make_private_directory
from swarmnode.values.errors import Refused

LOCK_NAME = "node.lock"
MAX_LOCK_BYTES = 4096
LOCK_ATTEMPTS = 5
ATTEMPT_SECONDS = 0.03

# Windows locks bytes so that others cannot read them; the lock lies far behind the text.
_LOCKED_BYTE = 1 << 30


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a data directory. port is 0 when a command without a port holds it."""

    pid: int
    port: int


class Lock:
    """A held data directory. The system frees it when the process ends, however it ends."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    def release(self) -> None:
        """Let others have the directory. Calling it again does nothing."""
        if self._file.closed:
            return
        # The file stays: removing it would let two nodes hold two files of the same name.
        self._file.truncate(0)
        _unlock(self._file)
        self._file.close()


def hold_data_dir(path: Path, port: int, wait: Callable[[float], None] = time.sleep) -> Lock:
    """Create the directory (mode 0700) if need be, and hold it until `release`.

    Raises `Refused(code='data_dir_in_use')` that names the holder's process and port.
    """
    make_private_directory(path)
    file = _open(path / LOCK_NAME)
    # `data_dir_holder` takes the lock for an instant to look; that must not turn a node away.
    for attempt in range(LOCK_ATTEMPTS):
        if attempt:
            wait(ATTEMPT_SECONDS)
        if _try_lock(file, shared=False):
            _write_holder(file, Holder(os.getpid(), port))
            return Lock(path, file)
    holder = _read_holder(file)
    file.close()
    raise _in_use(path, holder)


def data_dir_holder(path: Path) -> Holder | None:
    """Who holds the directory now, or None. Creates nothing."""
    try:
        file = (path / LOCK_NAME).open("r+b")
    except OSError:
        return None
    with file:
        if _try_lock(file, shared=True):
            _unlock(file)
            return None
        return _read_holder(file) or Holder(0, 0)


def _open(path: Path) -> BinaryIO:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, OWNER_ONLY_FILE)
    except OSError as error:
        raise Refused(
            f"The data directory {path.parent} cannot be used: {error.strerror or error}",
            code="data_dir_unusable",
            hint="Choose another one with --data-dir, or give yourself the right to write there.",
        ) from error
    return open(descriptor, "r+b")


def _write_holder(file: BinaryIO, holder: Holder) -> None:
    file.seek(0)
    file.truncate(0)
    file.write(json.dumps({"pid": holder.pid, "port": holder.port}).encode() + b"\n")
    file.flush()


def _read_holder(file: BinaryIO) -> Holder | None:
    """The holder as written; None in the instant in which it is not written yet."""
    file.seek(0)
    try:
        facts = json.loads(file.read(MAX_LOCK_BYTES))
        return Holder(int(facts["pid"]), int(facts["port"]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _in_use(path: Path, holder: Holder | None) -> Refused:
    who = "another node"
    if holder:
        who = f"process {holder.pid}" + (f" on port {holder.port}" if holder.port else "")
    return Refused(
        f"The data directory {path} is in use by {who}",
        code="data_dir_in_use",
        hint="Stop that node first, or give this one a directory of its own with --data-dir (and --port).",
    )


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO, *, shared: bool) -> bool:
        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _try_lock(file: BinaryIO, *, shared: bool) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
