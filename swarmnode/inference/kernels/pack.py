"""From GGUF's rows to panels: see `formats`. The layouts read are those of ggml-common.h."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from swarmnode.inference.kernels.code import I8, I16, I32, I64, Code, Val, vector
from swarmnode.inference.kernels.formats import Format
from swarmnode.inference.kernels.jit import Build

#: The fields of the arguments, i64 each: where the rows lie and how far apart, how many there are, how many
#: blocks each has, where the panels go (memory that holds zeros).
SOURCE, ROW_BYTES, ROWS, BLOCKS, PANELS = range(5)
FIELDS = 5

#: Bytes of a block of one row in the file.
FILE_BYTES = {"Q4_K": 144, "Q5_K": 176, "Q6_K": 210, "Q8_0": 34, "Q4_0": 18, "F16": 2, "BF16": 2, "F32": 4}

PackBlock = Callable[[Code, Val, Val, Val], None]


def pack(format: Format) -> tuple[str, Build]:
    """The kernel `void(arguments, first, last)`: items are panels."""
    name = f"pack_{format.name}"
    return name, partial(_build, format, name)


def _build(format: Format, name: str, module: ir.Module) -> None:
    code = Code(module, name, 3)
    arguments, first, last = code.arguments
    fields = code.loads(I64, arguments, FIELDS)
    with code.range(first, last) as panel:
        out = fields[PANELS] + panel * fields[BLOCKS] * format.size
        left = fields[ROWS] - panel * format.rows
        count = code.select(left < format.rows, left, format.rows)
        with code.range(0, count) as row:
            source = fields[SOURCE] + (panel * format.rows + row) * fields[ROW_BYTES]
            with code.range(0, fields[BLOCKS]) as block:
                from_ = source + block * FILE_BYTES[format.name]
                _BLOCKS[format.name](code, from_, out + block * format.size, row)
    code.end()


def _words(code: Code, value: Val, out: Val, row: Val, apart: int) -> None:
    """Store each four bytes of a vector as the row's word of one vector after another."""
    words = value.bits(vector(I32, value.type.count // 4))
    for index in range(words.type.count):
        code.store(words.lane(index), out + row * 4, apart * index)


def _paired(code: Code, numbers: Val) -> Val:
    """32 small numbers as 16 bytes: the first half in the low nibbles."""
    low = code.shuffle(numbers, numbers, range(16))
    high = code.shuffle(numbers, numbers, range(16, 32))
    return low | (high << 4)


def _k_scales(code: Code, source: Val, out: Val, row: Val, scales: int) -> None:
    """The eight 6-bit scales, one after another, then the minima."""
    low, middle, high = (code.load(vector(I8, 4), source, 4 + 4 * part) for part in range(3))
    first = low & 63
    last = (high & 15) | ((low >> 6) << 4)
    first_min = middle & 63
    last_min = (high >> 4) | ((middle >> 6) << 4)
    for index in range(8):
        scale = (first if index < 4 else last).lane(index % 4)
        least = (first_min if index < 4 else last_min).lane(index % 4)
        code.store(scale, out + row, scales + 16 * index)
        code.store(least, out + row, scales + 128 + 16 * index)
    code.store(code.load(I16, source), out + row * 2, scales + 256)
    code.store(code.load(I16, source, 2), out + row * 2, scales + 288)


def _q4_k(code: Code, source: Val, out: Val, row: Val) -> None:
    for group in range(4):
        raw = code.load(vector(I8, 32), source, 16 + 32 * group)
        _words(code, _paired(code, raw & 15), out + 512 * group, row, 64)
        _words(code, _paired(code, raw >> 4), out + (512 * group + 256), row, 64)
    _k_scales(code, source, out, row, 2048)


def _q5_k(code: Code, source: Val, out: Val, row: Val) -> None:
    fifth = code.load(vector(I8, 32), source, 16)
    for group in range(4):
        raw = code.load(vector(I8, 32), source, 48 + 32 * group)
        _words(code, _paired(code, raw & 15), out + 512 * group, row, 64)
        _words(code, _paired(code, raw >> 4), out + (512 * group + 256), row, 64)
    for part in range(8):
        bits = (fifth >> part) & 1
        word = code.const(vector(I8, 4), 0)
        for index in range(4):
            for half in range(2):
                begin = 16 * half + 4 * index
                four = code.shuffle(bits, bits, range(begin, begin + 4))
                word = word | (four << (2 * index + half))
        _words(code, word, out + (2048 + 64 * part), row, 64)
    _k_scales(code, source, out, row, 2560)


def _q6_k(code: Code, source: Val, out: Val, row: Val) -> None:
    for part in range(8):
        half, quarter = divmod(part, 4)
        raw = code.load(vector(I8, 32), source, 64 * half + 32 * (quarter % 2))
        low = raw & 15 if quarter < 2 else raw >> 4
        _words(code, _paired(code, low), out + 256 * part, row, 64)
        high = (code.load(vector(I8, 32), source, 128 + 32 * half) >> (2 * quarter)) & 3
        for pair in range(2):
            word = code.const(vector(I8, 4), 0)
            for index in range(2):
                for side in range(2):
                    begin = 16 * side + 4 * (2 * pair + index)
                    four = code.shuffle(high, high, range(begin, begin + 4))
                    word = word | (four << (4 * index + 2 * side))
            _words(code, word, out + (2048 + 128 * part + 64 * pair), row, 64)
    scales = code.load(vector(I8, 16), source, 192)
    for index in range(16):
        code.store(scales.lane(index), out + row, 3072 + 16 * index)
    code.store(code.load(I16, source, 208), out + row * 2, 3328)


def _q8_0(code: Code, source: Val, out: Val, row: Val) -> None:
    _words(code, code.load(vector(I8, 32), source, 2), out, row, 64)
    code.store(code.load(I16, source), out + row * 2, 512)


def _q4_0(code: Code, source: Val, out: Val, row: Val) -> None:
    _words(code, code.load(vector(I8, 16), source, 2), out, row, 64)
    code.store(code.load(I16, source), out + row * 2, 256)


def _number(kind: ir.Type, size: int, code: Code, source: Val, out: Val, row: Val) -> None:
    code.store(code.load(kind, source), out + row * size)


_BLOCKS: dict[str, PackBlock] = {
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "Q8_0": _q8_0,
    "Q4_0": _q4_0,
    "F16": partial(_number, I16, 2),
    "BF16": partial(_number, I16, 2),
    "F32": partial(_number, I32, 4),
}
