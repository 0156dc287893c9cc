"""Snapshots of a session as bytes: what one node sends another so that it need not compute a prompt.

Layout: magic `SNKV`; version, uint16; length of the header, uint16; the header, JSON in UTF-8; then
the rows, [layer, keys then values, position, kv_head, head_dim], in the cache's own type (f32 and f16
little-endian; q8_0 as in GGUF: blocks of 34 bytes for 32 numbers). All numbers are little-endian.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import numpy as np

from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import Refused
from swarmnode.values.layers import KvType, LayerRange, NumericsProfile

MAGIC = b"SNKV"
VERSION = 1
_PREFIX = len(MAGIC) + 4
#: A header is some 300 bytes.
MAX_HEADER = 4096
_Q8_NUMBERS, _Q8_BYTES = 32, 34
#: Numbers looked at together: a snapshot may be as large as the memory that is left.
_CHECKED = 1 << 20
#: Exponent bits of a number that is infinite or none, by the cache type.
_NOT_FINITE = {"f32": ("<u4", 0x7F800000), "f16": ("<u2", 0x7C00), "q8_0": ("<u2", 0x7C00)}


@dataclass(frozen=True, slots=True)
class SnapshotShape:
    """What a snapshot must fit: equal shapes have rows of equal layout and meaning."""

    architecture: str
    model_layers: int
    hidden: int
    vocab: int
    kv_heads: int
    head_dim: int
    first_layer: int
    end_layer: int
    profile: str
    kv: KvType

    @property
    def head_bytes(self) -> int:
        """Bytes of one head's keys, or values, at one position."""
        if self.kv == "q8_0":
            return -(-self.head_dim // _Q8_NUMBERS) * _Q8_BYTES
        return self.head_dim * (4 if self.kv == "f32" else 2)

    @property
    def position_bytes(self) -> int:
        """Bytes of one position in all layers."""
        return (self.end_layer - self.first_layer) * 2 * self.kv_heads * self.head_bytes


def shape_of(facts: ModelFacts, layers: LayerRange, profile: NumericsProfile) -> SnapshotShape:
    """The shape of a stage's snapshots."""
    model = (facts.architecture, facts.layers, facts.hidden, facts.vocab, facts.kv_heads, facts.head_dim)
    return SnapshotShape(*model, layers.start, layers.end, str(profile), profile.kv)


def pack(shape: SnapshotShape, position: int, rows: bytes) -> bytes:
    """A snapshot of `position` positions. rows: as the module says."""
    header = json.dumps({**asdict(shape), "position": position}, sort_keys=True).encode()
    return MAGIC + VERSION.to_bytes(2, "little") + len(header).to_bytes(2, "little") + header + rows


def unpack(shape: SnapshotShape, snapshot: bytes) -> tuple[int, memoryview]:
    """The position and the rows of a snapshot that fits `shape`. Raises `Refused` (`bad_snapshot`) for
    any that does not, whose length is damaged, or with numbers that are not finite."""
    header, start = _header(snapshot)
    for name, mine in asdict(shape).items():
        if header.get(name) != mine:
            raise _bad(f"its {name} is {header.get(name)!r}, not {mine!r}")
    position = header.get("position")
    if type(position) is not int or position < 1:
        raise _bad(f"it is of {position!r} positions")
    rows = memoryview(snapshot)[start:]
    if len(rows) != position * shape.position_bytes:
        raise _bad(f"it has {len(rows)} bytes of rows, not {position * shape.position_bytes}")
    if not _is_finite(shape, rows):
        raise _bad("some of its numbers are not finite")
    return position, rows


def _header(snapshot: bytes) -> tuple[dict[str, object], int]:
    if snapshot[: len(MAGIC)] != MAGIC or len(snapshot) < _PREFIX:
        raise _bad("it does not begin like one")
    version, length = (int.from_bytes(snapshot[i : i + 2], "little") for i in (4, 6))
    if version != VERSION:
        raise _bad(f"it is of version {version}; version {VERSION} can be read")
    if length > MAX_HEADER or len(snapshot) < _PREFIX + length:
        raise _bad(f"its header of {length} bytes is not whole, or longer than {MAX_HEADER}")
    try:
        header = json.loads(snapshot[_PREFIX : _PREFIX + length])
    except (ValueError, RecursionError):
        raise _bad("its header cannot be read") from None
    if not isinstance(header, dict):
        raise _bad("its header cannot be read")
    return header, _PREFIX + length


def _is_finite(shape: SnapshotShape, rows: memoryview) -> bool:
    dtype, exponent = _NOT_FINITE[shape.kv]
    numbers = np.frombuffer(rows, dtype)
    if shape.kv == "q8_0":  # the scale of each block of 34 bytes
        numbers = numbers[:: _Q8_BYTES // 2]
    parts = (numbers[at : at + _CHECKED] for at in range(0, len(numbers), _CHECKED))
    return not any(bool(((part & exponent) == exponent).any()) for part in parts)


def _bad(why: str) -> Refused:
    return Refused(
        f"The snapshot of keys and values cannot be used: {why}",
        code="bad_snapshot",
        hint="Compute the prompt here, or ask a node of the same model file and numerics profile.",
    )
