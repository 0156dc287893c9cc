"""What a target must compute to be believed: kernels on small, awkward data, compared bit for bit.

A check writes its inputs and the kernels' argument tables into one piece of memory, whose address it is told
beforehand; so the same check runs here and, for another kind of processor, in a program that maps the memory
at the same address. NaNs of any kind count as equal: processors make different ones.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from swarmnode.inference.kernels import experts, rounding, rows
from swarmnode.inference.kernels.append import append
from swarmnode.inference.kernels.attention import attend
from swarmnode.inference.kernels.check_memory import CHECK_BYTES, Check
from swarmnode.inference.kernels.formats import FORMATS, Format, padded, row_bytes
from swarmnode.inference.kernels.jit import Build, Jit
from swarmnode.inference.kernels.matmul import matmul
from swarmnode.inference.kernels.pack import FILE_BYTES, pack
from swarmnode.inference.kernels.page_layout import BLOCK, PageLayout
from swarmnode.inference.kernels.program import Memory, float_bits
from swarmnode.values.layers import KvType

_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)

Write = Callable[[Check], None]


def run_check(jit: Jit, name: str) -> bytes:
    """The results of the check of that name, computed here."""
    memory = Memory(CHECK_BYTES)
    check = Check(jit.target, memory.address)
    CHECKS[name](check)
    memory.bytes[:CHECK_BYTES] = check.data
    for call in check.calls:
        _KERNEL(jit.address(*call.kernel))(call.arguments, 0, call.last)
    return check.results(memory.bytes)


def checks_for(formats: frozenset[str], kv: KvType) -> tuple[str, ...]:
    """The names of the checks that matter to a model with weights of those packed types."""
    return ("rows", "halves", *(f"matmul {name}" for name in sorted(formats)), f"attention {kv}")


# Rows: everything between products.


def awkward_rows(width: int) -> npt.NDArray[np.float32]:
    """float32 [10, width]: usual numbers, extremes, ties of each rounding, zeros of both signs, tiny ones."""
    rng = np.random.default_rng(11)
    usual = rng.standard_normal(width)
    numbers = np.arange(width)
    signs = np.where(numbers % 3 == 0, -1.0, 1.0)
    table = [
        usual,
        usual * 1e-3,
        np.exp(3 * usual) * signs,
        np.ones(width),
        signs,
        numbers % 255 - 127.0,  # 127 and whole numbers: no rounding
        (numbers % 127 + 0.5) * signs + 127.0 * (numbers == 0),  # halves: ties when quantised
        np.where(numbers % 2, 0.0, -0.0),
        usual * 2.0**-120,  # below the smallest normal of float16, above that of float32
        (1 + numbers % 4096 / 4096.0) * signs * 2.0**10,  # ties of float16
    ]
    return np.array(table, np.float32)


def _rows(check: Check) -> None:
    width = 512
    values = awkward_rows(width)
    count, line = values.shape[0], 4 * width
    source = check.put(values)
    weights, biases = (check.put(values[row] * 0.25 + 1) for row in (0, 1))
    epsilon = float_bits(1e-5)
    sizes = (
        (rounding.quantise_256(), row_bytes("k256", width)),
        (rounding.quantise_32(), row_bytes("k32", width)),
    )
    for kernel, size in sizes:
        check.call(kernel, [source, line, width, check.output(size * count), size], count)
    for kernel in (rows.rms_norm(), rows.layer_norm()):
        target = check.output(line * count, np.float32)
        check.call(kernel, [source, line, width, target, line, weights, biases, epsilon], count)

    def in_place(kernel: tuple[str, Build], *rest: int, skip: int = 0) -> None:
        target = check.put(values)
        check.watch(target, line * count, np.float32)
        check.call(kernel, [target, line, *([] if skip else [width]), *rest], count)

    in_place(rows.head_norm(), 512 // 32, 32, weights, epsilon, skip=1)
    in_place(rows.activate("silu", gated=True), source, line)
    in_place(rows.activate("gelu", gated=True), source, line)
    in_place(rows.softcap_rows(), float_bits(30.0))
    in_place(rounding.round_half(check.target))
    angles = np.linspace(0, 3, 3 * 16).reshape(3, 1, 16)
    turns = check.put(np.concatenate([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
    positions = check.put(np.arange(count, dtype=np.int64) % 3)
    in_place(rows.rotate(pairs=False), 512 // 32, 32, 16, turns, positions, skip=1)
    _experts(check, values)


def _experts(check: Check, values: npt.NDArray[np.float32]) -> None:
    used, number, count = 3, 20, len(values)
    scores = np.zeros((count, padded(number)), np.float32)
    scores[:, :number] = values[:, :number]
    lists = [check.output(8 * size) for size in (number, number, count * used, count * used, count * used)]
    shares = check.output(4 * count * used, np.float32)
    head = [check.put(scores), 4 * padded(number), number, used, check.put(np.array([count], np.int64))]
    check.call(experts.route(), [*head, *lists, shares], 1)
    results = check.put(np.repeat(values[:, :64], used, axis=0))
    target = check.output(256 * count, np.float32)
    check.call(experts.combine(), [results, 256, 64, target, 256, shares, used], count)


def _halves(check: Check) -> None:
    """float32 of every kind to float16 and back, by way of a cache that keeps float16."""
    layout = PageLayout(1, 256, "f16")
    rng = np.random.default_rng(7)
    numbers = rng.integers(0, 1 << 32, (BLOCK, 256), dtype=np.uint64).astype(np.uint32).view(np.float32)
    steps = np.arange(256, dtype=np.uint32)
    numbers[0] = (steps << 23).view(np.float32)  # every power of two
    numbers[1] = ((steps << 23) | 0x1000).view(np.float32)  # ties of normal numbers, to even
    numbers[2] = ((steps << 23) | 0x3000 | 1 << 31).view(np.float32)
    numbers[3] = (np.float32(2.0**-25) * (2 * steps.astype(np.float32) + 1)).astype(
        np.float32
    )  # subnormal ties
    numbers[4, :4] = (np.inf, -np.inf, np.nan, 65520.0)
    line = 4 * 256
    page = check.output(layout.layer_bytes, np.float16)
    table = check.put(np.array([page], np.int64))
    tables = check.put(np.full(BLOCK, table, np.int64))
    positions = check.put(np.arange(BLOCK, dtype=np.int64))
    source = check.put(numbers)
    check.call(append(layout, check.target), [source, line, source, line, 0, positions, tables], BLOCK)


# Products.


#: Where the bytes of scales lie in a block of the file.
_SCALES = {"Q4_K": slice(4, 16), "Q5_K": slice(4, 16), "Q6_K": slice(192, 208)}
#: Bytes that make all numbers of a block the largest, the smallest, and some of each.
_EXTREMES: dict[str, tuple[int, ...]] = {"Q8_0": (0x7F, 0x80, 0x81), "F16": (), "BF16": (), "F32": ()}
_USUAL_EXTREMES = (0xFF, 0x00, 0x0F)


def file_rows(format: Format, count: int, width: int, extreme: int | None) -> npt.NDArray[np.uint8]:
    """Rows of a GGUF file, uint8 [count, bytes]: random bits, or each byte `extreme`; sensible factors."""
    rng = np.random.default_rng(len(format.name) + width)
    size = FILE_BYTES[format.name]
    if format.block == 1:
        values = awkward_rows(width)[np.arange(count) % 10].astype(np.float32)
        if format.name == "F16":
            return np.clip(values, -60000, 60000).astype(np.float16).view(np.uint8)
        raw = values.view(np.uint16).reshape(count, width, 2)[:, :, 1] if format.name == "BF16" else values
        return np.ascontiguousarray(raw).view(np.uint8).reshape(count, -1)
    blocks = rng.integers(0, 256, (count, width // format.block, size), dtype=np.uint8)
    if extreme is not None:
        scales = _SCALES.get(format.name, slice(0, 0))
        kept = blocks[:, :, scales].copy()
        blocks[...] = extreme
        if extreme != 0xFF:  # then the scales are as large as they can be, too
            blocks[:, :, scales] = kept
    places = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}.get(format.name, (0,))
    for place in places:
        factors = (rng.standard_normal(blocks.shape[:2]) * 0.01).astype(np.float16)
        blocks[:, :, place : place + 2] = factors[:, :, None].view(np.uint8)
    return blocks.reshape(count, -1)


#: Rows of activations by group: every number that may be multiplied together, and one more than most.
_COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 17)


def _matmul(format: Format, check: Check) -> None:
    width, panels = 512, 2
    weights = format.rows + 3
    for extreme in (None, *_EXTREMES.get(format.name, _USUAL_EXTREMES)):
        rows_ = file_rows(format, weights, width, extreme)
        source = check.put(rows_)
        blocks = width // format.block
        packed = check.output(format.bytes(weights, width))
        check.call(pack(format), [source, rows_.shape[1], weights, blocks, packed], panels)
        inputs, size = _activations(format, check, width)
        if extreme is None:
            order = np.concatenate([np.arange(count) for count in _COUNTS]) % 10
            counts = np.array(_COUNTS, np.int64)
        else:
            order, counts = np.arange(10), np.array([10], np.int64)
        starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        line = 4 * padded(weights)
        out = check.output(line * len(order), np.float32)
        lists = [counts, starts, order.astype(np.int64), np.arange(len(order), dtype=np.int64)]
        addresses = [check.put(one) for one in lists]
        fields = [packed, panels, 0, blocks, inputs, size, out, line, *addresses]
        check.call(matmul(format, check.target), fields, panels * len(counts))


def _activations(format: Format, check: Check, width: int) -> tuple[int, int]:
    """The address and row size of ten rows as the format takes them; some are +-127 throughout."""
    values = awkward_rows(width)
    source = check.put(values)
    if format.activation == "f32":
        return source, 4 * width
    kernel = rounding.quantise_256() if format.activation == "k256" else rounding.quantise_32()
    size = row_bytes(format.activation, width)
    target = check.output(size * len(values))
    check.call(kernel, [source, 4 * width, width, target, size], len(values))
    return target, size


# Attention.


def _attention(kv: KvType, check: Check) -> None:
    """Three blocks of positions, with and without a window; two query heads share keys and values."""
    layout, group, length = PageLayout(2, 48, kv), 2, 150
    rng = np.random.default_rng(5)
    key, value = (rng.standard_normal((length, 96)).astype(np.float32) for _ in range(2))
    value[7] *= 1e-4
    key[70] *= 40  # one score far above the others
    asked = np.array([0, 1, 63, 64, 100, 127, 128, 149], np.int64)
    queries = rng.standard_normal((len(asked), 96 * group)).astype(np.float32)
    table = check.put(np.array([check.room(layout.layer_bytes) for _ in range(3)], np.int64))
    tables = check.put(np.full(length, table, np.int64))
    everywhere = check.put(np.arange(length, dtype=np.int64))
    line = 4 * 96
    fields = [check.put(key), line, check.put(value), line, 0, everywhere, tables]
    check.call(append(layout, check.target), fields, length)
    place = check.put(queries)
    positions = check.put(asked)
    for window in (0, 30):
        out = check.output(queries.nbytes, np.float32)
        fields = [place, line * group, out, line * group, 0, positions, tables, window, float_bits(0.15), 0]
        check.call(attend(layout, group, check.target), fields, 2 * len(asked))


def _matmul_of(format: Format) -> Write:
    return lambda check: _matmul(format, check)


def _attention_of(kv: KvType) -> Write:
    return lambda check: _attention(kv, check)


_KV: tuple[KvType, ...] = ("f32", "f16", "q8_0")
CHECKS: dict[str, Write] = {
    "rows": _rows,
    "halves": _halves,
    **{f"matmul {format.name}": _matmul_of(format) for format in FORMATS.values()},
    **{f"attention {kv}": _attention_of(kv) for kv in _KV},
}
