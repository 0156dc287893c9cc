"""JSON for large bodies, read in small steps, so that a thread that reads one lets the others run.

The `json` module reads a text in one call, during which no other thread of the process runs: 4 MiB of
text take 20 ms, lists of small things take seconds. Here no step looks at more than a few thousand
characters, and the number of things and their depth are bounded before they are made.

The grammar is that of RFC 8259, and so are the words of `json.JSONDecodeError` where both refuse.
"""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

#: Lists and objects of one body: `openai_prompts.MAX_MESSAGES` with several parts each.
MAX_CONTAINERS = 65_536
#: Values of one body: a prompt of `openai_prompts.MAX_PROMPT_TOKENS` ids, and as much again.
MAX_VALUES = 2 << 20
MAX_DEPTH = 200
#: What one step looks at, in characters or bytes, and in repetitions of a small thing.
STEP, STEP_PARTS = 1 << 16, 4096

_SPACE = re.compile(rf"[ \t\n\r]{{0,{STEP}}}")
_PLAIN = re.compile(rf'[^"\\\x00-\x1f]{{0,{STEP}}}')
_HEX = "[0-9a-fA-F]"
_PAIR = rf"u[dD][89abAB]{_HEX}{{2}}\\u[dD][c-fC-F]{_HEX}{{2}}"
_ESCAPES = re.compile(
    rf'(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F]){_HEX}{{4}}|{_PAIR})){{1,{STEP_PARTS}}}',
)
_LONE = re.compile(rf"\\u[dD][89a-fA-F]{_HEX}{{2}}")
# Python refuses to turn more than 4300 digits into an integer; one more is enough to let it say so.
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,4300})(?:(\.[0-9]{1,4300})?([eE][+-]?[0-9]{1,4300})?)")
_INTEGERS = re.compile(rf"(?:(?:0|[1-9][0-9]{{0,9}}), ?){{1,{STEP_PARTS}}}")
_WORDS = {"true": True, "false": False, "null": None}
_CONSTANTS = ("NaN", "Infinity", "-Infinity")


class TooMuch(ValueError):
    """The text has more things than any request needs."""


def decode_utf8(raw: bytes) -> str:
    """The text, decoded in steps. Raises `UnicodeDecodeError` with the place in the whole."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pieces: list[str] = []
    for start in range(0, len(raw), STEP):
        begun = len(decoder.getstate()[0])  # of a character that the step before had only a part of
        try:
            pieces.append(decoder.decode(raw[start : start + STEP], start + STEP >= len(raw)))
        except UnicodeDecodeError as error:
            at = start - begun
            raise UnicodeDecodeError("utf-8", raw, at + error.start, at + error.end, error.reason) from None
    return "".join(pieces)


def read_json(text: str) -> Any:
    """The value that the text is.

    Raises `json.JSONDecodeError`, `ValueError` for NaN, infinities, a key twice and half a surrogate pair,
    `TooMuch` and, beyond `MAX_DEPTH`, `RecursionError`.
    """
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._containers = 0
        self._values = 0

    def whole(self) -> Any:
        self._skip_space()
        value = self._value(0)
        self._skip_space()
        if self._at < len(self._text):
            raise self._wrong("Extra data")
        return value

    def _value(self, depth: int) -> Any:
        """The value that begins here."""
        self._count(1)
        mark = self._text[self._at : self._at + 1]
        if mark == '"':
            return self._string()
        if mark == "{":
            return self._object(depth + 1)
        if mark == "[":
            return self._array(depth + 1)
        return self._scalar()

    def _object(self, depth: int) -> dict[str, Any]:
        self._open(depth)
        found: dict[str, Any] = {}
        if self._mark() == "}":
            self._at += 1
            return found
        while True:
            if self._mark() != '"':
                raise self._wrong("Expecting property name enclosed in double quotes")
            name = self._string()
            if name in found:
                raise ValueError(f"the key {name[:80]!r} is there twice")
            self._take(":")
            self._skip_space()
            found[name] = self._value(depth)
            if not self._more("}"):
                return found

    def _array(self, depth: int) -> list[Any]:
        self._open(depth)
        found: list[Any] = []
        if self._mark() == "]":
            self._at += 1
            return found
        while True:
            self._skip_space()
            # Ids of tokens come by the million: many at a step.
            if run := _INTEGERS.match(self._text, self._at):
                numbers = run.group().split(",")[:-1]
                self._count(len(numbers))
                found.extend(map(int, numbers))
                self._at = run.end()
                continue
            found.append(self._value(depth))
            if not self._more("]"):
                return found

    def _string(self) -> str:
        begin = self._at
        self._at += 1
        pieces: list[str] = []
        while True:
            plain = _PLAIN.match(self._text, self._at)
            assert plain is not None  # it matches nothing, too
            self._at = plain.end()
            if plain.group():
                pieces.append(plain.group())
            mark = self._text[self._at : self._at + 1]
            if mark == '"':
                self._at += 1
                return "".join(pieces)
            if mark == "\\":
                pieces.append(self._escapes())
            elif not mark:
                raise json.JSONDecodeError("Unterminated string starting at", self._text, begin)
            elif mark < " ":
                raise self._wrong("Invalid control character at")

    def _escapes(self) -> str:
        found = _ESCAPES.match(self._text, self._at)
        if found is None:
            if _LONE.match(self._text, self._at):
                raise ValueError("a string holds half of a surrogate pair (\\ud800 to \\udfff)")
            raise self._wrong("Invalid \\escape")
        self._at = found.end()
        return str(json.loads(f'"{found.group()}"'))

    def _scalar(self) -> Any:
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return float(number.group()) if number.lastindex else int(number.group())
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        for word in _CONSTANTS:
            if self._text.startswith(word, self._at):
                raise ValueError(f"{word} is not a JSON number")
        raise self._wrong("Expecting value")

    # Between values.

    def _skip_space(self) -> None:
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None  # it matches nothing, too
            self._at = space.end()
            if len(space.group()) < STEP:
                return

    def _mark(self) -> str:
        """The next character after spaces; empty at the end."""
        self._skip_space()
        return self._text[self._at : self._at + 1]

    def _take(self, mark: str) -> None:
        if self._mark() != mark:
            raise self._wrong(f"Expecting '{mark}' delimiter")
        self._at += 1

    def _more(self, end: str) -> bool:
        """Whether a comma follows, or the end of the container."""
        if self._mark() == end:
            self._at += 1
            return False
        self._take(",")
        return True

    def _open(self, depth: int) -> None:
        self._at += 1
        self._containers += 1
        if self._containers > MAX_CONTAINERS:
            raise TooMuch(f"more than {MAX_CONTAINERS} lists and objects")
        if depth > MAX_DEPTH:
            raise RecursionError

    def _count(self, values: int) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise TooMuch(f"more than {MAX_VALUES} values")

    def _wrong(self, what: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(what, self._text, self._at)
