"""Reading a configuration file into typed values."""

from __future__ import annotations

import os
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from swarmnode.config.config import Origin
from swarmnode.config.keys import KEYS, SECTIONS, nearest_key, nearest_section
from swarmnode.config.kinds import BadValue
from swarmnode.config.problems import Problems

MAX_FILE_BYTES = 1 << 20


def read_file(path: Path, problems: Problems, *, must_exist: bool) -> dict[str, tuple[Any, Origin]] | None:
    """The values that a TOML file sets, by key, with their origin; None when there is no file.

    What is wrong goes to `problems`. must_exist: a missing file is wrong too.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if must_exist:
            problems.add(f"{path}: there is no such configuration file")
        return None
    except OSError as error:
        problems.add(f"{path}: cannot be read: {error.strerror}")
        return None
    return _typed(path, _tables(path, data, problems), problems)


def exposed_secrets(path: Path, layer: Mapping[str, object]) -> str | None:
    """A note where other users can read a file that sets secrets, else None."""
    secrets = [name for name in layer if KEYS[name].secret]
    if not secrets or sys.platform == "win32" or not os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH):
        return None
    return f"{path} sets {', '.join(secrets)}, and other users can read it: chmod 600 it"


def _tables(path: Path, data: bytes, problems: Problems) -> dict[str, Any]:
    if len(data) > MAX_FILE_BYTES:
        problems.add(f"{path}: is longer than {MAX_FILE_BYTES} bytes")
        return {}
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        problems.add(f"{path}: is not UTF-8 text: byte {error.start} is 0x{data[error.start]:02x}")
    except tomllib.TOMLDecodeError as error:
        problems.add(f"{path}: is not TOML: {error}")
    except RecursionError:
        problems.add(f"{path}: is nested too deeply")
    return {}


def _typed(path: Path, tables: dict[str, Any], problems: Problems) -> dict[str, tuple[Any, Origin]]:
    layer = {}
    for name, value in _leaves(path, tables, "", problems):
        key = KEYS[name]
        try:
            layer[name] = key.kind.check(value), Origin("file", str(path))
        except BadValue:
            problems.bad_value(str(path), key, value)
    return layer


def _leaves(path: Path, table: dict[str, Any], prefix: str, problems: Problems) -> Iterator[tuple[str, Any]]:
    """The known keys of a table and its sub-tables; unknown names go to `problems`."""
    for name, value in table.items():
        full = f"{prefix}{name}"
        if full in KEYS:
            yield full, value
        elif isinstance(value, dict) and _is_section(full):
            yield from _leaves(path, value, f"{full}.", problems)
        elif isinstance(value, dict):
            problems.unknown(str(path), f"the section [{full}]", _bracketed(nearest_section(full)))
        elif _is_section(full):
            problems.add(f"{path}: {full} is a section, not a key; write [{full}] and its keys below")
        else:
            problems.unknown(str(path), f"the key {full}", nearest_key(full))


def _is_section(name: str) -> bool:
    return any(section == name or section.startswith(f"{name}.") for section in SECTIONS)


def _bracketed(section: str | None) -> str | None:
    return f"[{section}]" if section else None
