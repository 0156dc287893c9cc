"""Reading the hand-written files: questions and answers, phrasings, outside questions, evaluation files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from guide_recipe.grammar import Choice, Sequence, parse

DATA = Path(__file__).resolve().parent.parent / "data"
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Entry:
    """A question in its plainest form, and its answer word for word."""

    name: str
    question: str
    answer: str


def _lines(path: Path) -> Iterator[str]:
    for line in path.read_text("utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            yield line.rstrip()


def read_entries(folder: Path = DATA) -> tuple[Entry, ...]:
    """All questions in the order of the file. Raises ValueError where an answer is missing."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in _lines(folder / "questions.txt"):
        if line.startswith("["):
            name = line.strip("[] ")
            found[name] = ["", ""]
        else:
            found[name][0 if line.startswith("Q:") else 1] = line[2:].strip()
    answers = {key: found[text[2:]][1] if text.startswith("= ") else text for key, (_, text) in found.items()}
    if not all(answers.values()):
        raise ValueError("a question has no answer: " + ", ".join(k for k, v in answers.items() if not v))
    return tuple(Entry(key, question, answers[key]) for key, (question, _) in found.items())


def unknown_answer(folder: Path = DATA) -> str:
    return (folder / "unknown_answer.txt").read_text("utf-8").strip()


def read_named_lines(path: Path) -> dict[str, list[str]]:
    """Lines `name: text`; a line that begins with a space goes on with the name before it."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in _lines(path):
        if not line[0].isspace():
            name, _, line = line.partition(":")
        if line.strip():
            found.setdefault(name.strip(), []).append(line.strip())
    return found


def read_words(folder: Path = DATA) -> dict[str, Choice]:
    """The named parts of phrasings, `$name`; each may use those above it."""
    named: dict[str, Choice] = {}
    for name, lines in read_named_lines(folder / "words.txt").items():
        named[name] = parse("|".join(line.strip("| ") for line in lines), named)
    return named


def read_phrasings(folder: Path = DATA) -> dict[str, tuple[Sequence, ...]]:
    """By the name of the entry (`unknown` for outside questions): its phrasings, each a grammar."""
    named = read_words(folder)
    found: dict[str, list[Sequence]] = {}
    for path in sorted((folder / "phrasings").glob("*.txt")):
        for name, lines in read_named_lines(path).items():
            for line in lines:
                found.setdefault(name, []).extend(parse(line, named).options)
    return {name: tuple(options) for name, options in found.items()}


def read_paraphrases(path: Path) -> dict[str, list[str]]:
    """An evaluation file: `name: text | text`."""
    split = {
        name: [t.strip() for line in lines for t in line.split("|")]
        for name, lines in read_named_lines(path).items()
    }
    return {name: [t for t in texts if t] for name, texts in split.items()}


def read_outside(path: Path) -> list[str]:
    return list(_lines(path))
