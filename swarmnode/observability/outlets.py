"""Where log lines go: a stream, or a file that is turned over when it is full."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from swarmnode.values.errors import Refused

MAX_FILE_BYTES = 10 << 20
KEPT_FILES = 5
#: After this many lines that could not be written, the file is opened again.
RETRY_EVERY = 100


class Outlet(Protocol):
    """Takes whole lines, from any thread. Never raises: a log that fails must not stop a node."""

    lost: int

    def write(self, line: str) -> None:
        """Write the line and its end."""

    def close(self) -> None:
        """Write nothing more."""


class StreamOutlet:
    """A text stream; without one, standard error as it is at the moment of writing."""

    def __init__(self, stream: Any = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self.lost = 0

    def write(self, line: str) -> None:
        stream = sys.stderr if self._stream is None else self._stream
        try:
            with self._lock:
                stream.write(f"{line}\n")
                stream.flush()
        except (OSError, ValueError, AttributeError):
            # The terminal or pipe is gone (or there never was one), and there is no other place to say so.
            self.lost += 1

    def close(self) -> None:
        """The stream is not ours to close."""


class DescriptorOutlet:
    """A file descriptor that others made: standard error.

    Python's own stream has a lock, and a thread that hangs in a write with it would make the end of the
    process a crash.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.lost = 0

    def write(self, line: str) -> None:
        data = memoryview(line.encode("utf-8", "backslashreplace") + b"\n")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            # See `StreamOutlet`.
            self.lost += 1

    def close(self) -> None:
        """The descriptor is not ours to close."""


class FileOutlet:
    """A file, mode 0600. When it would pass `max_bytes` it becomes `<name>.1`, that one `.2` and so on;
    `kept` old ones stay."""

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES, kept: int = KEPT_FILES) -> None:
        self._path, self._max_bytes, self._kept = path, max_bytes, kept
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._size = 0
        self._closed = False
        self._torn = False
        self.lost = 0
        try:
            self._open()
        except OSError as error:
            raise _unusable(path, error) from error

    def write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        with self._lock:
            if self._closed:
                return
            try:
                self._put(data)
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._drop()

    def _put(self, data: bytes) -> None:
        if self._file is None:
            if self.lost % RETRY_EVERY:
                self.lost += 1
                return
            self._open()
        if self._size and self._size + len(data) > self._max_bytes:
            self._turn_over()
        if self._file is not None:
            self._append(self._file, b"\n" + data if self._torn else data)

    def _append(self, file: BinaryIO, data: bytes) -> None:
        written = file.write(data)
        self._size += written
        if written < len(data):  # the disk became full in the middle; the next line begins on its own
            self._torn = self._torn or written > 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._torn = False

    def _open(self) -> None:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        # Unbuffered: one write a line, so that a crash loses none and lines of two processes stay whole.
        self._file = open(descriptor, "ab", buffering=0)  # noqa: SIM115
        self._size = os.fstat(descriptor).st_size

    def _turn_over(self) -> None:
        self._drop()
        for number in range(self._kept, 0, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}") if number else self._path

    def _drop(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            # Each write went out as it was made; an error here says nothing that a write did not.
            with contextlib.suppress(OSError):
                file.close()

    def _fail(self, error: OSError) -> None:
        if not self.lost:
            print(f"The log file {self._path} cannot be written: {error}", file=sys.stderr)
        self.lost += 1
        self._drop()


def _unusable(path: Path, error: OSError) -> Refused:
    if not path.parent.is_dir():
        return Refused(
            f"The log file {path} cannot be made: there is no directory {path.parent}",
            code="log_directory_missing",
            hint="Create that directory, or name another file in logging.file.",
        )
    return Refused(
        f"The log file {path} cannot be written: {error.strerror or error}",
        code="log_file_unusable",
        hint="Check the rights on it, or name another file in logging.file.",
    )
