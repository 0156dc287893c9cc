"""Small grammars of phrasings: `(start|launch) the (node|server|)`, with named parts as `$node`.

A phrasing stands for every text that its choices allow. It is drawn from by chance for training, and
turned into a regular expression to tell whether a text is among those that could be drawn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from random import Random

_PIECES = re.compile(r"\$[a-z_]+|[()|]|[^$()|]+")
_SPACES = re.compile(r"\s+")
#: How many invented words are keys hit at random; the others can be pronounced.
KEYBOARD_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Word:
    """Fixed text."""

    text: str

    def draw(self, rng: Random) -> str:
        return self.text

    def count(self) -> int:
        return 1

    def pattern(self) -> str:
        return re.escape(_SPACES.sub("", self.text))


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several phrasings."""

    options: tuple[Sequence, ...]

    def draw(self, rng: Random) -> str:
        return rng.choice(self.options).draw(rng)

    def count(self) -> int:
        """How many texts it stands for."""
        return sum(option.count() for option in self.options)

    def pattern(self) -> str:
        return "(?:" + "|".join(option.pattern() for option in self.options) + ")"


@dataclass(frozen=True, slots=True)
class Invented:
    """A word that exists in no language: stands for the names that nobody can list."""

    def draw(self, rng: Random) -> str:
        if rng.random() < KEYBOARD_SHARE:
            return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 7)))
        syllables = rng.randint(2, 3)
        return "".join(
            rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(("", "", "n", "r", "x", "t"))
            for _ in range(syllables)
        )

    def count(self) -> int:
        return 1

    def pattern(self) -> str:
        return "(?!)"  # no text that means something is drawn on purpose


@dataclass(frozen=True, slots=True)
class Sequence:
    """Parts, one after the other."""

    parts: tuple[Word | Choice | Invented, ...]

    def draw(self, rng: Random) -> str:
        return "".join(part.draw(rng) for part in self.parts)

    def count(self) -> int:
        return prod(part.count() for part in self.parts)

    def pattern(self) -> str:
        return "".join(part.pattern() for part in self.parts)


INVENTED = "$invented"


def parse(text: str, named: Mapping[str, Choice]) -> Choice:
    """The alternatives of a text. Raises ValueError for unbalanced brackets and unknown names."""
    pieces = _PIECES.findall(text)
    choice, rest = _alternatives(pieces, named, text)
    if rest:
        raise ValueError(f"one bracket too many in {text!r}")
    return choice


def _alternatives(pieces: list[str], named: Mapping[str, Choice], text: str) -> tuple[Choice, list[str]]:
    options: list[Sequence] = []
    parts: list[Word | Choice | Invented] = []
    while pieces and pieces[0] != ")":
        piece, pieces = pieces[0], pieces[1:]
        if piece == "|":
            options.append(Sequence(tuple(parts)))
            parts = []
        elif piece == "(":
            inner, pieces = _alternatives(pieces, named, text)
            if not pieces:
                raise ValueError(f"a bracket is not closed in {text!r}")
            parts.append(inner)
            pieces = pieces[1:]
        else:
            parts.append(_part(piece, named, text))
    options.append(Sequence(tuple(parts)))
    return Choice(tuple(options)), pieces


def _part(piece: str, named: Mapping[str, Choice], text: str) -> Word | Choice | Invented:
    if piece == INVENTED:
        return Invented()
    if not piece.startswith("$"):
        return Word(piece)
    if piece[1:] not in named:
        raise ValueError(f"there is no {piece} (in {text!r})")
    return named[piece[1:]]


def draw(choice: Choice | Sequence, rng: Random) -> str:
    """A text of the grammar, with single spaces."""
    return _SPACES.sub(" ", choice.draw(rng)).strip()


def matcher(choice: Choice) -> re.Pattern[str]:
    """What matches each text of the grammar, spaces taken out."""
    return re.compile(choice.pattern())


def without_spaces(text: str) -> str:
    return _SPACES.sub("", text)
