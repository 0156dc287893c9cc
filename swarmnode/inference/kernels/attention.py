"""Attention over pages of 64 positions, one row and one key-value head at a time.

Blocks are absolute multiples of 64 positions and taken in order, so a row's result never depends on how its
prompt was cut. The softmax is computed as the blocks come (arXiv 2205.14135). Where keys and values lie:
`page_layout`.
"""

from __future__ import annotations

from functools import partial

from llvmlite import ir

from swarmnode.inference.kernels.code import F32, F32V, I8, I16, I32, I32V, I64, LANES, Code, Val, Var, vector
from swarmnode.inference.kernels.floats import exp, load_half, tanh, widen_half
from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.page_layout import BLOCK, ITEM_BYTES, PART, PageLayout
from swarmnode.inference.kernels.targets import Target

_GROUPS = BLOCK // LANES
#: Lower than any score: what a masked position counts as.
_MASKED = -3.0e38

#: The fields of `attend`'s arguments: queries, bytes of a row, outputs, bytes of a row, bytes to the layer in
#: a page, positions of the rows (i64), page tables of the rows (i64: addresses of tables of page addresses),
#: window (0: none), scale, softcap (float32 bits).
ATTEND_FIELDS = 10


def attend(layout: PageLayout, group: int, target: Target, *, softcap: bool = False) -> tuple[str, Build]:
    """The kernel: items are rows times key-value heads; `group` query heads share one of these."""
    capped = "_capped" if softcap else ""
    name = f"attend_{layout.kv}_{layout.kv_heads}_{layout.head_dim}_{group}{capped}"
    return name, partial(_build_attend, layout, group, target, softcap, name)


def _build_attend(
    layout: PageLayout, group: int, target: Target, softcap: bool, name: str, module: ir.Module
) -> None:
    code = Code(module, name, 3)
    arguments, first, last = code.arguments
    fields = code.loads(I64, arguments, ATTEND_FIELDS)
    queries, query_row, outputs, output_row, layer, positions, tables, window = fields[:8]
    work = _Work(code, target, layout, group, fields[8:] if softcap else fields[8:9])
    with code.range(first, last) as item:
        row, head = item // layout.kv_heads, item % layout.kv_heads
        position = code.load(I64, positions + row * 8)
        table = code.load(I64, tables + row * 8)
        at = head * (group * layout.head_dim * 4)
        query = queries + row * query_row + at
        reach = code.select(window > 0, window, 1 << 62)
        earliest = code.select(position >= reach, position - reach + 1, code.int(0))
        work.begin()
        with code.range(earliest // BLOCK, position // BLOCK + 1) as block:
            page = code.load(I64, table + block * 8) + layer
            key = page + head * layout.key_bytes
            value = page + (head * layout.value_bytes + layout.values)
            begin = block * BLOCK
            # The keys of the block after this one; of the last one, its own again.
            after = code.select(begin + BLOCK <= position, block + 1, block)
            next_key = code.load(I64, table + after * 8) + layer + head * layout.key_bytes
            work.block(query, key, value, next_key, earliest - begin, position - begin)
        work.finish(outputs + row * output_row + at)
    code.end()


class _Work:
    """One row and one key-value head: what is kept from block to block lies on the stack."""

    def __init__(
        self, code: Code, target: Target, layout: PageLayout, group: int, constants: list[Val]
    ) -> None:
        self.code, self.target, self.layout, self.group = code, target, layout, group
        self._scale = constants[0].narrow(I32).bits(F32)
        self._cap = constants[1].narrow(I32).bits(F32) if len(constants) > 1 else None
        self._sums = code.stack(F32, group * layout.padded_dim)
        self._weights = code.stack(F32, group * BLOCK)
        self._peaks, self._totals = code.stack(F32, group), code.stack(F32, group)
        self._shrinks = code.stack(F32, -(-group // LANES) * LANES)
        #: Vectors of 16 that are accumulated at a time.
        self._room = {32: 16, 8: 4}.get(target.registers, 2)

    def begin(self) -> None:
        code = self.code
        for head in range(self.group):
            code.store(code.f32(_MASKED), self._peaks, 4 * head)
            code.store(code.f32(0.0), self._totals, 4 * head)
        for head in range(0, self.group, LANES):
            code.store(code.const(F32V, 0.0), self._shrinks, 4 * head)
        with code.range(0, self.group * self.layout.padded_dim, LANES) as index:
            code.store(code.const(F32V, 0.0), self._sums + index * 4)

    def block(self, query: Val, key: Val, value: Val, next_key: Val, earliest: Val, latest: Val) -> None:
        """Take in 64 positions; earliest and latest are the first and last seen, counted from the block's
        first. What is needed next is asked for of memory while the work goes on."""
        # As many heads as there is room for beside two vectors of positions: a key is widened once for all.
        heads = min(self.group, max(1, self._room // 2))
        groups = min(_GROUPS, max(1, self._room // heads))
        groups = 1 << (groups.bit_length() - 1)  # of 4 vectors: 1, 2 or 4
        for head in range(0, self.group, heads):
            tile = range(head, min(head + heads, self.group))
            for first in range(0, _GROUPS, groups):
                ahead = value if head == 0 and first == 0 else None
                self._scores(query, key, tile, range(first, first + groups), ahead)
        for head in range(self.group):
            self._find_peak(head, earliest, latest)
        self._find_shrinks()
        for head in range(self.group):
            self._soften(head, earliest, latest)
        end = self.code.select(latest < BLOCK, latest + 1, BLOCK)
        columns = self.layout.padded_dim // LANES
        wide = min(columns, self._room)
        tall = max(1, min(self.group, self._room // wide))
        for head in range(0, self.group, tall):
            for column in range(0, columns, wide):
                self._collect(
                    value,
                    next_key if head == 0 and column == 0 else None,
                    range(head, min(head + tall, self.group)),
                    range(column, min(column + wide, columns)),
                    end,
                )

    def _ask(self, address: Val | None, line: Val, lines: int, size: int) -> None:
        """Ask for a part of `size` bytes: number `line` of `lines` parts."""
        if address is not None:
            part = -(-size // lines // BLOCK) * BLOCK
            for offset in range(0, part, 64):
                self.code.prefetch(address + line * part, offset)

    def _scores(self, query: Val, key: Val, heads: range, groups: range, ahead: Val | None) -> None:
        """weights[head][position] = query . key, along the head's numbers in order."""
        code, dim = self.code, self.layout.head_dim
        places = [(head, group) for head in heads for group in groups]
        sums = {place: Var(code, code.const(F32V, 0.0)) for place in places}
        if self.layout.kv != "q8_0":
            with code.range(0, dim) as index:
                self._ask(ahead, index, dim, self.layout.value_bytes)
                self._multiply(query, key, index, sums, heads, groups)
        else:
            factors = key + dim * BLOCK
            with code.range(0, self.layout.parts) as part:
                inner = {place: Var(code, code.const(F32V, 0.0)) for place in places}
                begin = part * PART
                end = code.select(begin + PART < dim, begin + PART, dim)
                with code.range(begin, end) as index:
                    self._ask(ahead, index, dim, self.layout.value_bytes)
                    self._multiply(query, key, index, inner, heads, groups)
                for group in groups:
                    at = factors + part * (BLOCK * 2)
                    factor = load_half(code, self.target, at, group * LANES * 2)
                    for head in heads:
                        place = (head, group)
                        sums[place].set(code.fma(inner[place].get(), factor, sums[place].get()))
        for (head, group), total in sums.items():
            code.store(total.get(), self._weights, 4 * (head * BLOCK + group * LANES))

    def _multiply(
        self, query: Val, key: Val, index: Val, sums: dict[tuple[int, int], Var], heads: range, groups: range
    ) -> None:
        code, item = self.code, ITEM_BYTES[self.layout.kv]
        line = key + index * (BLOCK * item)
        numbers = {group: self._load(line, group * LANES * item) for group in groups}
        for head in heads:
            one = code.splat(code.load(F32, query + index * 4, head * self.layout.head_dim * 4))
            for group in groups:
                total = sums[head, group]
                total.set(code.fma(numbers[group], one, total.get()))

    def _load(self, address: Val, offset: int) -> Val:
        """16 numbers of the cache; those of q8_0 without their factor."""
        code, kv = self.code, self.layout.kv
        if kv == "f32":
            return code.load(F32V, address, offset)
        if kv == "f16":
            return load_half(code, self.target, address, offset)
        return code.load(vector(I8, LANES), address, offset).signed(I32V).to_float(F32V)

    def _seen(self, group: int, earliest: Val, latest: Val) -> Val:
        """Which of 16 positions the row sees."""
        lane = self.code.lanes(I32V, range(group * LANES, group * LANES + LANES))
        first = self.code.select(earliest < 0, 0, earliest).narrow(I32)
        last = self.code.select(latest < BLOCK, latest, BLOCK).narrow(I32)
        return (lane >= self.code.splat(first)) & (lane <= self.code.splat(last))

    def _find_peak(self, head: int, earliest: Val, latest: Val) -> None:
        """Scale and cap the scores; note the highest so far, and by how much the peak rises."""
        code = self.code
        highest = code.const(F32V, _MASKED)
        for group in range(_GROUPS):
            at = 4 * (head * BLOCK + group * LANES)
            score = code.load(F32V, self._weights, at) * self._scale
            score = code.fma(score, 0.0, score)  # an infinite one is a fault: no number, so that it shows
            if self._cap is not None:
                score = tanh(code, score / self._cap) * self._cap
            code.store(score, self._weights, at)
            score = code.select(self._seen(group, earliest, latest), score, _MASKED)
            highest = code.select(highest > score, highest, score)
        best = code.fold(highest, lambda one, two: code.select(one > two, one, two))
        peak = code.load(F32, self._peaks, 4 * head)
        best = code.select(peak > best, peak, best)
        code.store(best, self._peaks, 4 * head)
        code.store(peak - best, self._shrinks, 4 * head)

    def _find_shrinks(self) -> None:
        """e**(old peak - new peak) of all heads."""
        for first in range(0, self.group, LANES):
            drop = self.code.load(F32V, self._shrinks, 4 * first)
            self.code.store(exp(self.code, drop), self._shrinks, 4 * first)

    def _soften(self, head: int, earliest: Val, latest: Val) -> None:
        """Scores to weights e**(score - peak); all that was summed up before shrinks to the new peak."""
        code = self.code
        peak = code.splat(code.load(F32, self._peaks, 4 * head))
        weights = []
        for group in range(_GROUPS):
            at = 4 * (head * BLOCK + group * LANES)
            weight = exp(code, code.load(F32V, self._weights, at) - peak)
            weight = code.select(self._seen(group, earliest, latest), weight, 0.0)
            code.store(weight, self._weights, at)
            weights.append(weight)
        total = code.sum((weights[0] + weights[1]) + (weights[2] + weights[3]))
        shrink = code.load(F32, self._shrinks, 4 * head)
        before = code.load(F32, self._totals, 4 * head)
        code.store(code.fma(before, shrink, total), self._totals, 4 * head)
        spread = code.splat(shrink)
        with code.when(shrink.eq(1.0) ^ 1):  # a peak that stays, as most do, changes nothing
            for column in range(0, self.layout.padded_dim, LANES):
                at = 4 * (head * self.layout.padded_dim + column)
                code.store(code.load(F32V, self._sums, at) * spread, self._sums, at)

    def _collect(self, value: Val, ahead: Val | None, heads: range, columns: range, end: Val) -> None:
        """sums[head] += weights[head][position] * value[position], in the order of positions."""
        code, layout = self.code, self.layout
        item, dim = ITEM_BYTES[layout.kv], layout.padded_dim
        places = [(head, column) for head in heads for column in columns]
        at = {(head, column): 4 * (head * dim + column * LANES) for head, column in places}
        sums = {place: Var(code, code.load(F32V, self._sums, at[place])) for place in places}
        with code.range(0, end) as slot:
            self._ask(ahead, slot, BLOCK, layout.key_bytes)
            line = value + slot * (dim * item)
            numbers = {column: self._value(value, line, slot, column) for column in columns}
            for head in heads:
                weight = code.splat(code.load(F32, self._weights + slot * 4, 4 * head * BLOCK))
                for column in columns:
                    total = sums[head, column]
                    total.set(code.fma(numbers[column], weight, total.get()))
        for place in places:
            code.store(sums[place].get(), self._sums, at[place])

    def _value(self, value: Val, line: Val, slot: Val, column: int) -> Val:
        numbers = self._load(line, column * LANES * ITEM_BYTES[self.layout.kv])
        if self.layout.kv != "q8_0":
            return numbers
        code, layout = self.code, self.layout
        factors = value + (layout.padded_dim * BLOCK)
        place = slot * layout.parts + column * LANES // PART
        bits = code.load(vector(I16, 1), factors + place * 2)
        return numbers * code.splat(widen_half(code, self.target, bits).lane(0))

    def finish(self, output: Val) -> None:
        code, layout = self.code, self.layout
        for head in range(self.group):
            total = code.load(F32, self._totals, 4 * head)
            with code.range(0, layout.head_dim) as index:
                number = code.load(F32, self._sums + index * 4, 4 * head * layout.padded_dim)
                code.store(number / total, output + index * 4, 4 * head * layout.head_dim)
