"""Build the guide model: `python packaging/guide_model/build.py` (about an hour; `make guide-model`)."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from guide_recipe.corpus import Corpus  # noqa: E402
from guide_recipe.export import write_gguf  # noqa: E402
from guide_recipe.network import Shape  # noqa: E402
from guide_recipe.training import Plan, train  # noqa: E402
from guide_recipe.vocabulary import train_tokenizer  # noqa: E402

TARGET = HERE.parent.parent / "swarmnode" / "inference" / "guide" / "guide.gguf"
TOKENIZER_TEXTS, TOKENIZER_SEED = 20000, 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--steps", type=int, default=Plan().steps)
    parser.add_argument("--seed", type=int, default=Plan().seed)
    parser.add_argument("--width", type=int, default=Shape().width)
    parser.add_argument("--rate", type=float, default=Plan().rate)
    parser.add_argument("--dropout", type=float, default=Plan().dropout)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    shape = Shape(width=args.width, ffn=args.width * 3, heads=args.width // 32)
    plan = replace(Plan(), shape=shape, steps=args.steps, seed=args.seed, rate=args.rate, dropout=args.dropout)
    corpus = Corpus()
    tokenizer = train_tokenizer(corpus.sample(TOKENIZER_TEXTS, TOKENIZER_SEED), shape.vocabulary)
    network = train(corpus, tokenizer, plan, say=lambda line: print(line, flush=True))
    write_gguf(args.out, network, tokenizer)
    print(f"{args.out}: {args.out.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
