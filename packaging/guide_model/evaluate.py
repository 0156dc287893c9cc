"""Measure a guide model through llama.cpp: `python packaging/guide_model/evaluate.py [--set heldout]`.

Every question goes through the chat template of the file, decoded greedily, and the answer counts only
when it is the right one to the letter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from guide_recipe.grammar import Choice, matcher, without_spaces  # noqa: E402
from guide_recipe.normal_form import normalise  # noqa: E402
from guide_recipe.texts import (  # noqa: E402
    DATA,
    UNKNOWN,
    Entry,
    read_entries,
    read_outside,
    read_paraphrases,
    read_phrasings,
    unknown_answer,
)

TARGET = HERE.parent.parent / "swarmnode" / "inference" / "guide" / "guide.gguf"
MAX_ANSWER_TOKENS = 160
Ask = Callable[[str], str]


def llama_cpp(path: Path) -> Ask:
    """Asks llama.cpp, one question a conversation."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = 512, 1
    params.cpuparams.n_threads = 1
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def ask(question: str) -> str:
        body = {
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
            "max_tokens": MAX_ANSWER_TOKENS,
        }
        reply = server.handle_chat_completions(body)
        reply = json.loads(reply) if isinstance(reply, str) else reply
        return str(reply["choices"][0]["message"]["content"])

    return ask


class Producible:
    """Whether the generator could draw a text (noise aside); such a paraphrase proves little."""

    def __init__(self) -> None:
        self._matchers = {n: matcher(Choice(options)) for n, options in read_phrasings().items()}
        for entry in read_entries():
            self._matchers.setdefault(entry.name, matcher(Choice(())))
        self._plain = {without_spaces(normalise(e.question)) for e in read_entries()}

    def __call__(self, text: str, name: str) -> bool:
        packed = without_spaces(normalise(text))
        return packed in self._plain or self._matchers[name].fullmatch(packed) is not None


def name_of(answer: str, entries: Iterable[Entry]) -> str:
    if answer == unknown_answer():
        return UNKNOWN
    return next((entry.name for entry in entries if entry.answer == answer), f"garbled: {answer[:70]!r}")


def measure(ask: Ask, folder: Path, show: bool) -> dict[str, object]:
    """All figures of one evaluation folder, with what was answered wrongly."""
    entries = read_entries()
    by_name = {entry.name: entry for entry in entries}
    producible = Producible()
    plain = [ask(entry.question) == entry.answer for entry in entries]
    rows = [
        (name, text, producible(text, name), ask(text))
        for name, texts in read_paraphrases(folder / "paraphrases.txt").items()
        for text in texts
    ]
    outside = [(text, producible(text, UNKNOWN), ask(text)) for text in read_outside(folder / "outside.txt")]
    wrong = [(n, t, name_of(a, entries)) for n, t, _, a in rows if a != by_name[n].answer]
    told = [(UNKNOWN, t, name_of(a, entries)) for t, _, a in outside if a != unknown_answer()]
    if show:
        for entry, right in zip(entries, plain, strict=True):
            if not right:
                print(f"  plain {entry.name}: {entry.question} -> {name_of(ask(entry.question), entries)}")
        for name, text, got in wrong + told:
            print(f"  {name}: {text} -> {got}")
    fresh = [a == by_name[n].answer for n, _, known, a in rows if not known]
    return {
        "verbatim": _share(plain),
        "paraphrases": _share([a == by_name[n].answer for n, _, _, a in rows]),
        "paraphrases_never_drawn": _share(fresh),
        "paraphrases_refused": sum(got == UNKNOWN for _, _, got in wrong),
        "garbled": sum(got.startswith("garbled") for _, _, got in wrong + told),
        "outside_refused": _share([a == unknown_answer() for _, _, a in outside]),
        "outside_never_drawn_refused": _share([a == unknown_answer() for _, known, a in outside if not known]),
    }


def _share(right: list[bool]) -> str:
    return f"{sum(right)}/{len(right)} = {100 * sum(right) / max(1, len(right)):.1f} %"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=TARGET)
    parser.add_argument("--set", choices=("heldout", "development"), default="heldout")
    parser.add_argument("--show", action="store_true", help="print what was answered wrongly")
    args = parser.parse_args()
    print(json.dumps(measure(llama_cpp(args.model), DATA / args.set, args.show), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
