"""Measure a guide model: `python packaging/guide_model/evaluate.py` (the file in the package, held-out set).

Each question goes through the chat template of the file and is decoded greedily, by llama.cpp or by
this project's numpy stage; an answer counts only when it is the right one to the letter.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from guide_recipe.asking import ENGINES, Ask  # noqa: E402
from guide_recipe.measuring import (  # noqa: E402
    Answered,
    mistyped_questions,
    never_drawn,
    outside,
    paraphrases,
    plain_questions,
    put,
)
from guide_recipe.texts import DATA, UNKNOWN  # noqa: E402

TARGET = HERE.parent.parent / "swarmnode" / "inference" / "guide" / "guide.gguf"


def figures(ask: Ask, folder: Path) -> tuple[dict[str, str], list[Answered]]:
    """All figures of an evaluation folder, and what was answered wrongly."""
    plain, mistyped = put(ask, plain_questions()), put(ask, mistyped_questions())
    asked, strange = put(ask, paraphrases(folder)), put(ask, outside(folder))
    wrong = [one for one in plain + mistyped + asked + strange if not one.right]
    known = [one for one in wrong if one.asked.name != UNKNOWN]
    found = {
        "plain questions, verbatim": _share(plain),
        "the same with a typing error each": _share(mistyped),
        "paraphrases answered rightly": _share(asked),
        "of those never drawn in training": _share(never_drawn(asked)),
        "outside questions refused": _share(strange),
        "of those never drawn in training ": _share(never_drawn(strange)),
        "known questions refused": str(sum(one.got == UNKNOWN for one in known)),
        "known questions answered with another entry": str(sum(one.got != UNKNOWN for one in known)),
        "answers that are no entry's": str(sum(one.got.startswith("no entry") for one in wrong)),
    }
    return found, wrong


def _share(answered: list[Answered]) -> str:
    right = sum(one.right for one in answered)
    return f"{right}/{len(answered)} = {100 * right / max(1, len(answered)):.1f} %"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--set", choices=("heldout", "development"), default="heldout")
    parser.add_argument("--engine", choices=sorted(ENGINES), default="llama.cpp")
    parser.add_argument("--show", action="store_true", help="print what was answered wrongly")
    args = parser.parse_args()
    found, wrong = figures(ENGINES[args.engine](args.model), DATA / args.set)
    if args.show:
        for one in wrong:
            print(f"  {one.asked.name}: {one.asked.text} -> {one.got}")
    print(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
