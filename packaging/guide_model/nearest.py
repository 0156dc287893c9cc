"""What a nearest neighbour makes of the data: `python packaging/guide_model/nearest.py [--set development]`.

Every training phrasing is drawn a few times; a question gets the answer of the text that shares most of
its words with it (TF-IDF, cosine). It shows what the data can teach: where it is low, training longer
does not help. Look at it before training.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence as Texts
from pathlib import Path
from random import Random

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from guide_recipe.corpus import Corpus  # noqa: E402
from guide_recipe.grammar import draw  # noqa: E402
from guide_recipe.normal_form import normalise  # noqa: E402
from guide_recipe.texts import DATA, UNKNOWN, read_outside, read_paraphrases  # noqa: E402

DRAWS, SEED = 12, 3


class Neighbours:
    """Texts with their answers, as rows of a TF-IDF matrix."""

    def __init__(self, texts: Texts[tuple[str, str]]) -> None:
        self.answers = [answer for _, answer in texts]
        seen = Counter(word for text, _ in texts for word in set(text.split()))
        self._columns = {word: i for i, word in enumerate(seen)}
        self._rarity = np.array([np.log(len(texts) / count) + 0.1 for count in seen.values()], np.float32)
        self._rows = np.stack([self._row(text) for text, _ in texts])

    def _row(self, text: str) -> np.ndarray:
        row = np.zeros(len(self._columns), np.float32)
        for word in text.split():
            if word in self._columns:
                row[self._columns[word]] += self._rarity[self._columns[word]]
        return row / max(1e-6, float(np.linalg.norm(row)))

    def answer(self, text: str) -> str:
        return self.answers[int(np.argmax(self._rows @ self._row(normalise(text))))]


def training_texts(corpus: Corpus, rng: Random) -> list[tuple[str, str]]:
    """Each phrasing, drawn a few times, with its answer."""
    answers = {entry.name: entry.answer for entry in corpus.entries} | {UNKNOWN: corpus.unknown}
    found = {(normalise(entry.question), entry.answer) for entry in corpus.entries}
    for name, options in corpus.phrasings.items():
        for option in options:
            found.update((normalise(draw(option, rng)), answers[name]) for _ in range(DRAWS))
    return sorted(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", choices=("heldout", "development"), default="development")
    args = parser.parse_args()
    corpus = Corpus()
    neighbours = Neighbours(training_texts(corpus, Random(SEED)))
    answers = {entry.name: entry.answer for entry in corpus.entries}
    folder = DATA / args.set
    asked = [(n, t) for n, texts in read_paraphrases(folder / "paraphrases.txt").items() for t in texts]
    right = sum(neighbours.answer(text) == answers[name] for name, text in asked)
    outside = read_outside(folder / "outside.txt")
    refused = sum(neighbours.answer(text) == corpus.unknown for text in outside)
    print(
        f"{len(neighbours.answers)} texts; paraphrases {right}/{len(asked)}, outside {refused}/{len(outside)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
