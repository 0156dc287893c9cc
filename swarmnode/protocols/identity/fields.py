"""The two field kinds of protobuf that signed statements need, in their one shortest encoding.

Source: the protobuf encoding document (varints; wire types 0 and 2). Written by hand because what is
signed is bytes: the order of fields and the length of each varint must not be a library's choice.
"""

from __future__ import annotations

from collections.abc import Iterable

from swarmnode.values.errors import PeerFault

MAX_VARINT_BYTES = 9  # 63 bits, as in libp2p's unsigned-varint
MAX_FIELDS = 64

_VARINT, _BYTES = 0, 2

FieldValue = int | bytes


def encode_varint(value: int) -> bytes:
    """An unsigned number below 2**63 as a base-128 varint."""
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{value} does not fit in 63 bits")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def decode_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number at `position` and the position after it. Only the shortest form is accepted."""
    value = 0
    for index, byte in enumerate(data[position : position + MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if index and not byte:
                raise malformed("a number is written longer than needed")
            return value, position + index + 1
    raise malformed("a number has no end")


def encode_fields(fields: Iterable[tuple[int, FieldValue]]) -> bytes:
    """Fields (number, value) in the given order; ints as varints, bytes with their length."""
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += encode_varint(number << 3 | _VARINT) + encode_varint(value)
        else:
            out += encode_varint(number << 3 | _BYTES) + encode_varint(len(value)) + value
    return bytes(out)


def decode_fields(data: bytes) -> dict[int, FieldValue]:
    """All fields by number; unknown ones are kept, a repeated one is an error. Raises `PeerFault`."""
    fields: dict[int, FieldValue] = {}
    position = 0
    while position < len(data):
        tag, position = decode_varint(data, position)
        value, position = _value(data, position, tag & 7)
        if tag >> 3 in fields or len(fields) == MAX_FIELDS:
            raise malformed(f"field {tag >> 3} comes twice, or there are too many fields")
        fields[tag >> 3] = value
    return fields


def bytes_field(fields: dict[int, FieldValue], number: int) -> bytes:
    """A field that must be there and hold bytes."""
    value = fields.get(number)
    if not isinstance(value, bytes):
        raise malformed(f"field {number} is missing")
    return value


def int_field(fields: dict[int, FieldValue], number: int) -> int:
    """A number; absent is 0, as in protobuf."""
    value = fields.get(number, 0)
    if not isinstance(value, int):
        raise malformed(f"field {number} is not a number")
    return value


def malformed(fault: str) -> PeerFault:
    """The error for bytes that are no such statement."""
    return PeerFault(f"A signed statement is malformed: {fault}", code="bad_statement")


def _value(data: bytes, position: int, kind: int) -> tuple[FieldValue, int]:
    if kind not in (_VARINT, _BYTES):
        raise malformed(f"a field has the wire type {kind}")
    number, position = decode_varint(data, position)
    if kind == _VARINT:
        return number, position
    if number > len(data) - position:
        raise malformed("a field reaches beyond the end")
    return data[position : position + number], position + number
