"""The types of configuration values: what each accepts, from TOML and from one line of text.

`check` takes a value as `tomllib` gives it, `parse` takes the text of an environment variable or a
flag; both return the typed value or raise `BadValue`. Neither touches the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from math import isfinite
from pathlib import Path
from typing import Any, Protocol

MAX_TEXT = 4096
MAX_ITEMS = 1024
NONE = "none"


class BadValue(ValueError):
    """A value that its key does not take. The loader turns it into a `Refused` that names the key."""


class Kind(Protocol):
    """The type of a key."""

    @property
    def name(self) -> str:
        """The type in a word, for tables."""

    @property
    def absent(self) -> str:
        """What None is called, for kinds that have it."""

    def describe(self) -> str:
        """What is allowed, to follow the words "allowed: "."""

    def check(self, value: object) -> Any:
        """The typed value of a TOML value."""

    def parse(self, text: str) -> Any:
        """The typed value of a text."""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number, low <= n <= high."""

    low: int
    high: int
    name: str = "integer"
    absent: str = NONE

    def describe(self) -> str:
        return f"a whole number from {self.low} to {self.high}"

    def check(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not self.low <= value <= self.high:
            raise BadValue
        return value

    def parse(self, text: str) -> int:
        try:
            return self.check(int(text.strip()))
        except ValueError as error:
            raise BadValue from error


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number, low <= x <= high."""

    low: float
    high: float
    name: str = "number"
    absent: str = NONE

    def describe(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def check(self, value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            raise BadValue
        if not self.low <= value <= self.high:
            raise BadValue
        return float(value)

    def parse(self, text: str) -> float:
        try:
            return self.check(float(text.strip()))
        except ValueError as error:
            raise BadValue from error


_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class Boolean:
    """true or false; text may also say 1/0, yes/no, on/off."""

    name: str = "boolean"
    absent: str = NONE

    def describe(self) -> str:
        return "true or false"

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise BadValue
        return value

    def parse(self, text: str) -> bool:
        word = text.strip().lower()
        if word not in _TRUE + _FALSE:
            raise BadValue
        return word in _TRUE


@dataclass(frozen=True, slots=True)
class AutoBoolean:
    """true, false or "auto", which is None: the program decides."""

    name: str = 'boolean or "auto"'
    absent: str = "auto"

    def describe(self) -> str:
        return 'true, false or "auto"'

    def check(self, value: object) -> bool | None:
        if isinstance(value, str):
            return self.parse(value)
        return Boolean().check(value)

    def parse(self, text: str) -> bool | None:
        return None if text.strip().lower() == "auto" else Boolean().parse(text)


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text without control characters, at most MAX_TEXT characters."""

    name: str = "string"
    absent: str = NONE

    def describe(self) -> str:
        return f"one line of text, at most {MAX_TEXT} characters"

    def check(self, value: object) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT or not (value.isprintable()):
            raise BadValue
        return value

    def parse(self, text: str) -> str:
        return self.check(text)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]
    name: str = "string"
    absent: str = NONE

    def describe(self) -> str:
        return ", ".join(f'"{word}"' for word in self.words)

    def check(self, value: object) -> str:
        if not isinstance(value, str) or value not in self.words:
            raise BadValue
        return value

    def parse(self, text: str) -> str:
        return self.check(text.strip())


@dataclass(frozen=True, slots=True)
class Address:
    """The IP address of one of this machine's interfaces, or `localhost`."""

    name: str = "address"
    absent: str = NONE

    def describe(self) -> str:
        return 'an IPv4 or IPv6 address, or "localhost"'

    def check(self, value: object) -> str:
        if not isinstance(value, str):
            raise BadValue
        if value == "localhost":
            return value
        try:
            return str(ip_address(value))
        except ValueError as error:
            raise BadValue from error

    def parse(self, text: str) -> str:
        return self.check(text.strip())


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path. The loader makes it absolute: `~` is the home directory, and a relative path is taken
    from the folder of the configuration file, or from the working directory for flags and variables."""

    name: str = "path"
    absent: str = NONE

    def describe(self) -> str:
        return "a path"

    def check(self, value: object) -> Path:
        text = Text().check(value)
        if not text.strip():
            raise BadValue
        return Path(text)

    def parse(self, text: str) -> Path:
        return self.check(text)


@dataclass(frozen=True, slots=True)
class TextList:
    """A list of texts. As text: separated by commas, or a JSON list."""

    name: str = "list"
    absent: str = NONE

    def describe(self) -> str:
        return f"a list of at most {MAX_ITEMS} texts (in a variable: separated by commas, or JSON)"

    def check(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list | tuple) or len(value) > MAX_ITEMS:
            raise BadValue
        return tuple(Text().check(item) for item in value)

    def parse(self, text: str) -> tuple[str, ...]:
        if text.lstrip().startswith("["):
            return self.check(_json(text))
        return self.check([item.strip() for item in text.split(",") if item.strip()])


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table from text to text. As text: a JSON object."""

    name: str = "table"
    absent: str = NONE

    def describe(self) -> str:
        return f"a table of at most {MAX_ITEMS} names and texts (in a variable: JSON)"

    def check(self, value: object) -> Mapping[str, str]:
        if not isinstance(value, Mapping) or len(value) > MAX_ITEMS:
            raise BadValue
        return {Text().check(name): Text().check(item) for name, item in value.items()}

    def parse(self, text: str) -> Mapping[str, str]:
        return self.check(_json(text))


@dataclass(frozen=True, slots=True)
class Optional:
    """Another kind, or nothing: absent, "" or "none"."""

    inner: Kind
    absent: str = NONE

    @property
    def name(self) -> str:
        return self.inner.name

    def describe(self) -> str:
        return f"{self.inner.describe()}, or {NONE}"

    def check(self, value: object) -> Any:
        return None if value in ("", NONE) else self.inner.check(value)

    def parse(self, text: str) -> Any:
        return None if text.strip() in ("", NONE) else self.inner.parse(text)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadValue from error
