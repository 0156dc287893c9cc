"""Build the guide model: `python packaging/guide_model/build.py` (`make guide-model`; about an hour)."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from guide_recipe.corpus import Corpus  # noqa: E402
from guide_recipe.export import write_gguf  # noqa: E402
from guide_recipe.network import Shape  # noqa: E402
from guide_recipe.texts import DATA  # noqa: E402
from guide_recipe.training import Plan, train  # noqa: E402
from guide_recipe.vocabulary import train_tokenizer  # noqa: E402

TARGET = HERE.parent.parent / "swarmnode" / "inference" / "guide" / "guide.gguf"
TOKENIZER_TEXTS, TOKENIZER_SEED = 20000, 7
#: The data that the training reads: not the evaluation files.
SOURCES = ("questions.txt", "unknown_answer.txt", "words.txt", "phrasings/*.txt")


def build(plan: Plan, out: Path) -> None:
    """Train by the plan and write the model to `out`, and what made it to `facts.json` beside it."""
    corpus = Corpus()
    tokenizer = train_tokenizer(corpus.sample(TOKENIZER_TEXTS, TOKENIZER_SEED), plan.shape.vocabulary)
    network = train(corpus, tokenizer, plan, say=lambda line: print(line, flush=True))
    write_gguf(out, network, tokenizer)
    facts = {
        "sha256": hashlib.sha256(out.read_bytes()).hexdigest(),
        "bytes": out.stat().st_size,
        "parameters": sum(p.numel() for p in network.parameters()),
        "entries": len(corpus.entries),
        "data_sha256": data_digest(),
        "torch": torch.__version__.split("+")[0],
        "plan": asdict(plan),
    }
    out.with_name("facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


def data_digest() -> str:
    """SHA-256 over all text that the training reads."""
    digest = hashlib.sha256()
    for pattern in SOURCES:
        for path in sorted(DATA.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> int:
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TARGET, help="the file to write")
    parser.add_argument("--steps", type=int, default=plan.steps)
    parser.add_argument("--seed", type=int, default=plan.seed)
    parser.add_argument("--width", type=int, default=plan.shape.width)
    parser.add_argument("--rate", type=float, default=plan.rate)
    parser.add_argument("--dropout", type=float, default=plan.dropout)
    args = parser.parse_args()
    torch.set_num_threads(1)  # more threads would add in another order, and give another file
    shape = Shape(width=args.width, ffn=args.width * 3, heads=args.width // 32)
    plan = replace(plan, shape=shape, steps=args.steps, seed=args.seed, rate=args.rate, dropout=args.dropout)
    build(plan, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
