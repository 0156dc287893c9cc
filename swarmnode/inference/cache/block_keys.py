"""Names of blocks of a prompt: BLAKE3, chained, so that a key names a block and all before it.

key[i] = BLAKE3(key[i-1] || the block's 64 token ids as little-endian int32); key[-1] comes from a salt
and from what the keys and values depend on besides the tokens (the model, its layers, the numerics
profile). Whoever lacks the salt cannot tell from keys which prompts somebody else has asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from blake3 import blake3

from swarmnode.inference.cache.layer_cache import BLOCK

#: Bytes of a key: nobody finds two prompts with one key.
KEY_BYTES = 32
#: BLAKE3's context of the first link: a different use of the same salt gives other keys.
_CONTEXT = "swarmnode 2026-11 prefix cache blocks v1"


def chain_salt(salt: bytes, *identity: str) -> bytes:
    """The first link: `salt` (of the pool or the process) and everything that the blocks depend on
    besides the tokens, such as the model and the numerics profile. 32 bytes."""
    parts = [salt, *(part.encode() for part in identity)]
    framed = b"".join(len(part).to_bytes(4, "little") + part for part in parts)
    return blake3(framed, derive_key_context=_CONTEXT).digest()


def block_keys(salt: bytes, tokens: Sequence[int]) -> list[bytes]:
    """The keys of the full blocks of `tokens`, `len(tokens) // 64` of them. salt: of `chain_salt`."""
    count = len(tokens) // BLOCK
    ids = np.asarray(tokens[: count * BLOCK], "<i4").tobytes()
    size = 4 * BLOCK
    keys, previous = [], salt
    for start in range(0, len(ids), size):
        previous = blake3(previous + ids[start : start + size]).digest()
        keys.append(previous)
    return keys
