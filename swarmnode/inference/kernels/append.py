"""Putting keys and values into pages, rounded to the cache type before anybody uses them."""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from swarmnode.inference.kernels.code import F32, I8, I32, I64, Code, Val, Var, vector
from swarmnode.inference.kernels.floats import narrow_half, widen_half
from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.page_layout import BLOCK, ITEM_BYTES, PART, PageLayout
from swarmnode.inference.kernels.targets import Target

#: The fields of `append`'s arguments: keys, bytes of a row, values, bytes of a row, bytes to the layer in a
#: page, positions of the rows (i64), page tables of the rows (i64: addresses of tables of page addresses).
APPEND_FIELDS = 7


def append(layout: PageLayout, target: Target) -> tuple[str, Build]:
    """The kernel that rounds keys and values of rows and puts them into their pages."""
    name = f"append_{layout.kv}_{layout.kv_heads}_{layout.head_dim}"
    return name, partial(_build_append, layout, target, name)


def _build_append(layout: PageLayout, target: Target, name: str, module: ir.Module) -> None:
    code = Code(module, name, 3)
    arguments, first, last = code.arguments
    keys, key_row, values, value_row, layer, positions, tables = code.loads(I64, arguments, APPEND_FIELDS)
    store = _store_parts if layout.kv == "q8_0" else _store_numbers
    with code.range(first, last) as row:
        position = code.load(I64, positions + row * 8)
        table = code.load(I64, tables + row * 8)
        page = code.load(I64, table + position // BLOCK * 8) + layer
        slot = position % BLOCK
        with code.range(0, layout.kv_heads) as head:
            at = head * (layout.head_dim * 4)
            key = page + head * layout.key_bytes
            value = page + (head * layout.value_bytes + layout.values)
            store(code, target, layout, keys + row * key_row + at, key, slot, key=True)
            store(code, target, layout, values + row * value_row + at, value, slot, key=False)
    code.end()


def _store_numbers(
    code: Code, target: Target, layout: PageLayout, source: Val, out: Val, slot: Val, *, key: bool
) -> None:
    item = ITEM_BYTES[layout.kv]
    with code.range(0, layout.head_dim) as index:
        number = code.load(vector(F32, 1), source + index * 4)
        place = index * BLOCK + slot if key else slot * layout.padded_dim + index
        stored = number if layout.kv == "f32" else narrow_half(code, target, number)
        code.store(stored, out + place * item)


def _store_parts(
    code: Code, target: Target, layout: PageLayout, source: Val, out: Val, slot: Val, *, key: bool
) -> None:
    """Blocks of 32 numbers of a head as bytes and a float16 factor; the bytes are taken by that factor, as a
    reader sees it."""
    factors = out + (layout.head_dim if key else layout.padded_dim) * BLOCK
    with code.range(0, layout.parts) as part:
        begin = part * PART
        end = code.select(begin + PART < layout.head_dim, begin + PART, layout.head_dim)
        peak = Var(code, code.f32(0.0))
        with code.range(begin, end) as index:
            size = code.abs(code.load(F32, source + index * 4))
            # What is no number stays in the peak, so that it is found.
            larger = code.select(peak.get().eq(peak.get()), size, peak.get())
            peak.set(code.select(size <= peak.get(), peak.get(), larger))
        exact = peak.get() * (1.0 / 127.0)
        bits = narrow_half(code, target, code.splat(exact, 1))
        factor = widen_half(code, target, bits).lane(0)
        inverse = code.select(factor > 0.0, code.f32(1.0) / factor, 0.0)
        with code.range(begin, end) as index:
            quotient = code.load(F32, source + index * 4) * inverse
            quotient = code.select(quotient.eq(quotient), quotient, 0.0)
            clipped = code.min(code.max(quotient, -127.0), 127.0)
            byte = code.round(clipped).to_int(I32).narrow(I8)
            place = index * BLOCK + slot if key else slot * layout.padded_dim + index
            code.store(byte, out + place)
        factor_place = part * BLOCK + slot if key else slot * layout.parts + part
        code.store(bits, factors + factor_place * 2)
