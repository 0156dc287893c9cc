"""Drawing training examples: an entry, one of its phrasings, some noise, and the answer."""

from __future__ import annotations

from collections.abc import Iterator
from math import log2
from pathlib import Path
from random import Random

from guide_recipe.grammar import Choice, Sequence, draw, matcher, parse
from guide_recipe.noise import noisy
from guide_recipe.normal_form import normalise
from guide_recipe.texts import DATA, UNKNOWN, read_entries, read_phrasings, read_words, unknown_answer

UNKNOWN_SHARE = 0.22
NEAR_MISS_SHARE = 0.22
PLAIN_SHARE = 0.06
#: Entries that are asked more often, and have more ways to be asked, are drawn more often.
WEIGHTS = {"realmodel": 2.0, "who": 2.0, "hello": 1.5, "what": 1.5, "start": 1.5, "install": 1.5}


class Corpus:
    """Everything to draw from. Never reads the evaluation files."""

    def __init__(self, folder: Path = DATA) -> None:
        self.entries = read_entries(folder)
        self.unknown = unknown_answer(folder)
        self.phrasings = read_phrasings(folder)
        self.software = parse("$software|$invented", read_words(folder))
        self._check()
        self._phrasing_weights = {n: [_weight(o) for o in options] for n, options in self.phrasings.items()}
        self._weights = [WEIGHTS.get(entry.name, 1.0) for entry in self.entries]

    def _check(self) -> None:
        names = {entry.name for entry in self.entries} | {UNKNOWN}
        if strange := sorted(set(self.phrasings) - names):
            raise ValueError("phrasings of unknown entries: " + ", ".join(strange))
        if missing := sorted(names - set(self.phrasings)):
            raise ValueError("entries without phrasings: " + ", ".join(missing))
        for name, options in self.phrasings.items():
            if matcher(Choice(options)).fullmatch(""):
                raise ValueError(f"a phrasing of {name} can be empty")

    def answers(self) -> list[str]:
        return [entry.answer for entry in self.entries] + [self.unknown]

    def draw(self, rng: Random) -> tuple[str, str]:
        """A question in normal form, and its answer."""
        if rng.random() < UNKNOWN_SHARE:
            return self._outside(rng), self.unknown
        entry = rng.choices(self.entries, self._weights)[0]
        if rng.random() < PLAIN_SHARE:
            return normalise(entry.question), entry.answer
        return noisy(normalise(draw(self._phrasing(entry.name, rng), rng)), rng, about=True), entry.answer

    def _phrasing(self, name: str, rng: Random) -> Sequence:
        return rng.choice(
            self.phrasings.get(name)
            or parse(next(e.question for e in self.entries if e.name == name), {}).options
        )

    def _outside(self, rng: Random) -> str:
        if rng.random() < NEAR_MISS_SHARE:
            return self._near_miss(rng)
        return noisy(normalise(draw(self._phrasing(UNKNOWN, rng), rng)), rng, about=False)

    def _near_miss(self, rng: Random) -> str:
        """A question about this software, asked about another."""
        while True:
            text = normalise(draw(self._phrasing(rng.choice(self.entries).name, rng), rng))
            if "swarmnode" in text:
                return text.replace("swarmnode", draw(self.software, rng))

    def sample(self, count: int, seed: int) -> Iterator[str]:
        """Texts for training the tokenizer: questions, and each answer a few times."""
        rng = Random(seed)
        for _ in range(count):
            yield self.draw(rng)[0]
        for answer in self.answers():
            for _ in range(max(1, count // 2000)):
                yield answer


def _weight(phrasing: Sequence) -> float:
    """One that stands for many texts is drawn more often, but far less often than they are more."""
    return 1 + log2(phrasing.count()) / 2
