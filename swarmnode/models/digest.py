"""Do two nodes have the same model file? A digest that costs little to make.

BLAKE3 over all before the tensors' data (metadata, vocabulary, names, shapes and types of tensors),
the size of the file, and a few bytes of each tensor, for every part of a split file in order. Two files with
different digests differ. Two with the same one are the same model, unless somebody took pains to change other
numbers only; the model id (DESIGN 5), over the whole file, will know better.
"""

from __future__ import annotations

import os
from pathlib import Path

from blake3 import blake3

from swarmnode.models.gguf import GgufFile

#: Bytes of each tensor that are looked at, from its middle.
SAMPLE_BYTES = 64
DIGEST_BYTES = 32
_CONTEXT = "swarmnode model file digest 1"


def file_digest(path: str | os.PathLike[str]) -> bytes:
    """The digest, 32 bytes. Touches a page of each tensor. Raises `BadModelFile`."""
    with GgufFile(path) as gguf:
        digest = blake3(derive_key_context=_CONTEXT)
        for number, part in enumerate(gguf.files):
            first = min((t.offset for t in gguf.tensors.values() if t.part == number), default=0)
            digest.update(_size(part).to_bytes(8, "little") + first.to_bytes(8, "little"))
            with part.open("rb") as file:
                digest.update(file.read(first))
        for tensor in gguf.tensors.values():
            data = gguf.data(tensor)
            middle = max(0, (len(data) - SAMPLE_BYTES) // 2)
            digest.update(data[middle : middle + SAMPLE_BYTES])
            data.release()
        return digest.digest()


def _size(path: Path) -> int:
    return path.stat().st_size
