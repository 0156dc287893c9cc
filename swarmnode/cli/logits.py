"""`swarmnode logits`: what a model makes of given tokens, as numbers to compare with elsewhere."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmnode.cli.arguments import add_backend
from swarmnode.cli.output import Progress, print_json, say
from swarmnode.values.errors import Refused
from swarmnode.values.layers import LayerRange, parse_split

if TYPE_CHECKING:
    import numpy as np

    from swarmnode.inference.stage.seam import Stage

MAX_IDS = 1 << 17
MAX_IDS_FILE_BYTES = 4 << 20
#: The reference holds weights as float32 where they fit in this, else it unpacks them at each use.
HELD_BYTES = 2 << 30


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("-m", "--model", metavar="PATH", required=True, help="a GGUF model file")
    ids = parser.add_mutually_exclusive_group(required=True)
    ids.add_argument("--ids", metavar="1,2,3", help="token ids")
    ids.add_argument("--ids-file", metavar="PATH", help='a JSON file: [1, 2, 3] or {"ids": [1, 2, 3]}')
    parser.add_argument("-o", "--out", metavar="PATH", required=True, help="write float32 [ids, vocab], .npy")
    parser.add_argument("--split", metavar="0-2,3-5", help="cut the model into these layer ranges")
    parser.add_argument(
        "--kv", choices=("f32", "f16", "q8_0"), default="f32", help="type of keys and values (f32)"
    )
    parser.add_argument(
        "--residual", choices=("f32", "f16", "q8_0"), help="rounding between layers (default: by the weights)"
    )
    add_backend(parser)
    parser.add_argument("--json", action="store_true", help="print exactly one line of JSON")


def run(args: Namespace) -> int:
    """Write the logits; raises `Refused` for files and numbers that cannot be used."""
    from swarmnode.inference.kernel_cache import own_cache_directory
    from swarmnode.inference.stage.chain import load_chain
    from swarmnode.inference.stage.choosing import shut
    from swarmnode.models.facts import read_facts
    from swarmnode.models.gguf import GgufFile

    ids = read_ids(args.ids, args.ids_file)
    with GgufFile(args.model) as gguf:
        layers = read_facts(gguf).layers
        ranges = parse_split(args.split, layers) if args.split else (LayerRange(0, layers),)
        stages = load_chain(
            gguf,
            ranges,
            kv=args.kv,
            residual=args.residual,
            max_dequantised_bytes=HELD_BYTES,
            backend=args.backend,
            cache=own_cache_directory(),
            context=len(ids),
        )
        shape = _write(stages, ids, Path(args.out))
        report = _report(stages, shape, args.out)
        for stage in stages:
            shut(stage)
        del stages, stage
    if args.json:
        print_json(report)
    else:
        say(f"wrote {shape[0]} x {shape[1]} logits to {args.out} ({report['profile']})")
    return 0


def read_ids(text: str | None, file: str | None) -> list[int]:
    """Token ids from `1,2,3` or from a JSON file."""
    if file is not None:
        return _checked(_read_json(Path(file)), file)
    try:
        values = [int(word) for word in (text or "").split(",")]
    except ValueError:
        raise Refused(
            f"{text!r} are not token ids",
            code="bad_ids",
            hint="Write whole numbers with commas between them.",
        ) from None
    return _checked(values, "--ids")


def _read_json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_IDS_FILE_BYTES:
            raise Refused(f"{path} is larger than {MAX_IDS_FILE_BYTES} bytes", code="bad_ids")
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read as JSON: {error}", code="bad_ids") from error
    return data.get("ids") if isinstance(data, dict) else data


def _checked(values: Any, where: str) -> list[int]:
    usable = isinstance(values, list) and all(type(value) is int for value in values)
    if not usable or not 1 <= len(values) <= MAX_IDS or not all(0 <= value < 1 << 31 for value in values):
        raise Refused(
            f"{where} does not hold token ids",
            code="bad_ids",
            hint=f"Give 1 to {MAX_IDS} whole numbers from 0 up.",
        )
    return values


def _write(stages: list[Stage], ids: list[int], out: Path) -> tuple[int, int]:
    """Chunk by chunk into a mapped file, so that memory does not grow with the number of ids."""
    import numpy as np

    from swarmnode.inference.stage.chain import logits_of

    shape = (len(ids), stages[0].facts.vocab)
    unfinished = out.with_name(out.name + ".part")
    try:
        array = _mapped(unfinished, shape)
        progress = Progress("tokens", len(ids))
        for logits in logits_of(stages, np.array(ids, np.int32)):
            array[progress.done : progress.done + len(logits)] = logits
            progress.step(len(logits))
        array.flush()
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return shape


def _mapped(out: Path, shape: tuple[int, int]) -> np.memmap[Any, np.dtype[np.float32]]:
    import numpy as np

    try:
        return np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=shape)
    except OSError as error:
        raise Refused(
            f"{out} cannot be written: {error.strerror or error}",
            code="bad_output",
            hint="Name a file in a directory that is there and yours with --out.",
        ) from error


def _report(stages: list[Stage], shape: tuple[int, int], out: str) -> dict[str, Any]:
    return {
        "out": out,
        "shape": list(shape),
        "profile": str(stages[0].profile),
        "layers": [str(stage.layers) for stage in stages],
    }
