"""`swarmnode tokenize`: the token ids of a text, or the text of token ids, without loading a model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmnode.values.errors import Refused

if TYPE_CHECKING:
    from swarmnode.inference.text.model import TextModel

MAX_DECODED_IDS = 1 << 22


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", required=True, metavar="FILE.gguf", help="the model, or only its vocabulary"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--file", metavar="FILE", help="read the text from a file in UTF-8 (- for standard input)"
    )
    source.add_argument("--text", help="the text itself")
    source.add_argument(
        "--decode", metavar="IDS", help="the other way: token ids, separated by commas or spaces"
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--no-bos", action="store_true", help="add no BOS or EOS")
    parser.add_argument(
        "--no-special", action="store_true", help="read special tokens in the text as ordinary text"
    )


def run(args: argparse.Namespace) -> int:
    """Print ids (or text) on standard output. Raises `Refused` for bad files, texts and ids."""
    # Imported late: only this command needs the tokenizers library.
    from swarmnode.inference.text.model import TextModel
    from swarmnode.models.gguf import GgufFile

    with GgufFile(args.model) as gguf:
        text_model = TextModel.load(gguf)
    for warning in text_model.warnings:
        print(f"{Path(args.model).name}: {warning}", file=sys.stderr)
    if args.decode is not None:
        _print(args, {"text": _decode(text_model, _ids(args.decode), specials=not args.no_special)})
        return 0
    text = args.text if args.text is not None else _read(args.file)
    ids = text_model.encode(text, add_special=not args.no_bos, parse_special=not args.no_special)
    _print(args, {"ids": ids, "count": len(ids)})
    return 0


def _print(args: argparse.Namespace, answer: dict[str, Any]) -> None:
    if args.json:
        print(json.dumps(answer, ensure_ascii=False))
    elif "text" in answer:
        sys.stdout.write(answer["text"])
    else:
        print(*answer["ids"])


def _read(path: str) -> str:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        return data.decode("utf-8")
    except OSError as error:
        raise Refused(
            f"{path} cannot be read: {error.strerror}", code="unreadable_file", param="file"
        ) from error
    except UnicodeDecodeError as error:
        raise Refused(
            f"{path} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}",
            code="invalid_text",
            hint="Convert the file to UTF-8.",
            param="file",
        ) from error


def _ids(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if len(words) > MAX_DECODED_IDS or not all(word.isdecimal() for word in words):
        raise Refused(
            "The ids are not numbers separated by commas or spaces", code="bad_token_ids", param="decode"
        )
    return [int(word) for word in words]


def _decode(text_model: TextModel, ids: list[int], *, specials: bool) -> str:
    decoder = text_model.decoder(specials=specials)
    return "".join([*map(decoder.push, ids), decoder.flush()])
