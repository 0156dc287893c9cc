"""What counts as right, and how much of it there is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from guide_recipe.asking import Ask
from guide_recipe.grammar import Choice, matcher, without_spaces
from guide_recipe.noise import typing_error
from guide_recipe.normal_form import normalise
from guide_recipe.texts import (
    UNKNOWN,
    Entry,
    read_entries,
    read_outside,
    read_paraphrases,
    read_phrasings,
    unknown_answer,
)

TYPING_SEED = 5


class Drawable:
    """Whether the generator could draw a text (typing errors aside): then it is no test of the model."""

    def __init__(self) -> None:
        self._matchers = {name: matcher(Choice(options)) for name, options in read_phrasings().items()}
        self._plain = {without_spaces(normalise(entry.question)) for entry in read_entries()}

    def __call__(self, text: str, name: str) -> bool:
        packed = without_spaces(normalise(text))
        return packed in self._plain or self._matchers[name].fullmatch(packed) is not None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the entry it belongs to, and whether the generator could have drawn it."""

    name: str
    text: str
    drawable: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """got: the entry whose answer came, `unknown`, or the text itself where it is no entry's."""

    asked: Asked
    got: str
    right: bool


def plain_questions() -> list[Asked]:
    return [Asked(entry.name, entry.question, True) for entry in read_entries()]


def mistyped_questions() -> list[Asked]:
    """The plain questions with a typing error each."""
    rng = Random(TYPING_SEED)
    return [Asked(one.name, typing_error(one.text, rng), True) for one in plain_questions()]


def paraphrases(folder: Path) -> list[Asked]:
    drawable = Drawable()
    named = read_paraphrases(folder / "paraphrases.txt")
    return [Asked(name, text, drawable(text, name)) for name, texts in named.items() for text in texts]


def outside(folder: Path) -> list[Asked]:
    drawable = Drawable()
    return [Asked(UNKNOWN, text, drawable(text, UNKNOWN)) for text in read_outside(folder / "outside.txt")]


def put(ask: Ask, questions: Iterable[Asked]) -> list[Answered]:
    """Ask everything. An answer is right when it is the right one to the letter."""
    entries = read_entries()
    wanted = {entry.name: entry.answer for entry in entries} | {UNKNOWN: unknown_answer()}
    answered = []
    for question in questions:
        answer = ask(question.text)
        answered.append(Answered(question, _name_of(answer, entries), answer == wanted[question.name]))
    return answered


def _name_of(answer: str, entries: Iterable[Entry]) -> str:
    if answer == unknown_answer():
        return UNKNOWN
    return next((entry.name for entry in entries if entry.answer == answer), f"no entry: {answer!r}")


def share(answered: list[Answered]) -> float:
    """The share of right answers, 0 to 1."""
    return sum(one.right for one in answered) / len(answered)


def never_drawn(answered: list[Answered]) -> list[Answered]:
    return [one for one in answered if not one.asked.drawable]
