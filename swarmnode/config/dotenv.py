"""Provider keys: from the environment, else from a `.env` file in the data or working directory.

The parser takes the common part of what `.env` files are written in, and says where a line is
something else: `NAME=value`, `export NAME=value`, `# comment`, values bare (a ` #` begins a comment),
in single quotes (as they stand), or in double quotes (with the escapes of `_ESCAPES`). Nothing is
substituted, and nothing is ever written to the environment.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

MAX_DOTENV_BYTES = 1 << 16

#: The cloud providers whose keys are looked for, and the variables that may hold them.
PROVIDER_VARIABLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "openai": ("OPENAI_API_KEY",),
        "anthropic": ("ANTHROPIC_API_KEY",),
        "deepseek": ("DEEPSEEK_API_KEY",),
        "mistral": ("MISTRAL_API_KEY",),
        "groq": ("GROQ_API_KEY",),
        "nvidia-nim": ("NVIDIA_NIM_API_KEY", "NVIDIA_API_KEY"),
        "cerebras": ("CEREBRAS_API_KEY",),
        "sambanova": ("SAMBANOVA_API_KEY",),
        "fireworks": ("FIREWORKS_API_KEY",),
        "together": ("TOGETHER_API_KEY",),
        "deepinfra": ("DEEPINFRA_API_KEY",),
        "moonshot": ("MOONSHOT_API_KEY",),
    }
)

_LINE = re.compile(
    r"""\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*
        (?: '(?P<single>[^']*)' | "(?P<double>(?:[^"\\]|\\.)*)" | (?P<bare>[^'"\s\#](?:[^\#]|(?<!\s)\#)*)? )
        \s*(?:\#.*)?""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


class BadDotenv(ValueError):
    """A `.env` that is not one. The text names the line, and never quotes it: it may be a key."""


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """A key that was found: its variable, and the file it is in (None: the environment)."""

    value: str = field(repr=False)
    variable: str
    file: Path | None = None

    @property
    def source(self) -> str:
        """Where it came from, in words."""
        return "From .env" if self.file else "From the environment"


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """Where provider keys are looked up: the environment first, then the files in their order."""

    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: tuple[tuple[Path, Mapping[str, str]], ...] = field(default=(), repr=False)

    def find(self, *variables: str) -> ProviderKey | None:
        """The key in the first of the variables that is set. A variable that is set in the environment,
        even to nothing, is not looked up in a file."""
        for name in variables:
            if self.environ.get(name):
                return ProviderKey(self.environ[name], name)
        for path, values in self.files:
            for name in variables:
                if values.get(name) and name not in self.environ:
                    return ProviderKey(values[name], name, path)
        return None


def parse_dotenv(text: str) -> dict[str, str]:
    """The variables of a `.env` file; the last of two with one name holds. Raises `BadDotenv`."""
    values = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if not match:
            raise BadDotenv(f"line {number} is not NAME=value (or its quotes do not match)")
        values[match["name"]] = _value(match)
    return values


def read_dotenv(path: Path) -> dict[str, str] | None:
    """The variables of the file, None when there is none. Raises `BadDotenv`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOTENV_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadDotenv(f"cannot be read: {error.strerror}") from error
    if len(data) > MAX_DOTENV_BYTES:
        raise BadDotenv(f"is longer than {MAX_DOTENV_BYTES} bytes")
    try:
        return parse_dotenv(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadDotenv(f"is not UTF-8 text at byte {error.start}") from error


def _value(match: re.Match[str]) -> str:
    if match["single"] is not None:
        return match["single"]
    if match["double"] is not None:
        return _ESCAPE.sub(lambda m: _ESCAPES.get(m[1], m[1]), match["double"])
    return (match["bare"] or "").strip()
