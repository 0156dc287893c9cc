"""Products of packed weights with rows of activations: panels, groups and rows; the arithmetic is `tiles`'.

An output does not depend on the tile, the panel or the thread that computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from llvmlite import ir

from swarmnode.inference.kernels.code import I64, Code, Val, Var
from swarmnode.inference.kernels.formats import Format
from swarmnode.inference.kernels.jit import Build
from swarmnode.inference.kernels.targets import Target
from swarmnode.inference.kernels.tiles import TILES, Panel

#: The fields of a product's arguments, i64 each. A product is over `groups` of rows (one, or one an expert):
#: WEIGHTS + g * GROUP_BYTES are the weights of group g, COUNTS[g] its rows; row number i of it comes from
#: activations SOURCES[STARTS[g] + i] and goes to row TARGETS[STARTS[g] + i] of the output.
WEIGHTS, PANELS, GROUP_BYTES, BLOCKS, ROWS, ROW_BYTES, OUT, OUT_BYTES = range(8)
COUNTS, STARTS, SOURCES, TARGETS = range(8, 12)
FIELDS = 12


def matmul(format: Format, target: Target) -> tuple[str, Build]:
    """The kernel `void(arguments, first, last)`: items are panels, groups after groups."""
    name = f"matmul_{format.name}"
    return name, partial(_build, format, target, name)


def _build(format: Format, target: Target, name: str, module: ir.Module) -> None:
    code = Code(module, name, 3)
    arguments, first, last = code.arguments
    fields = code.loads(I64, arguments, FIELDS)
    tile = TILES[format.name]
    panel_bytes = fields[BLOCKS] * format.size
    with code.range(first, last) as item:
        group, panel = item // fields[PANELS], item % fields[PANELS]
        count = code.load(I64, fields[COUNTS], group * 8)
        start = code.load(I64, fields[STARTS], group * 8) * 8
        weights = fields[WEIGHTS] + group * fields[GROUP_BYTES] + panel * panel_bytes
        out = fields[OUT] + panel * (format.rows * 4)
        done = Var(code, code.int(0))
        for rows, ahead in _tiles(target):
            with code.loop_while(_fits(done, rows, count, first=ahead and rows == tile_sizes(target)[0])):
                at = start + done.get() * 8
                sources = [code.load(I64, fields[SOURCES], at + 8 * i) for i in range(rows)]
                targets = [code.load(I64, fields[TARGETS], at + 8 * i) for i in range(rows)]
                inputs = [fields[ROWS] + source * fields[ROW_BYTES] for source in sources]
                outputs = [out + target_row * fields[OUT_BYTES] for target_row in targets]
                tile(code, target, Panel(weights, fields[BLOCKS], ahead), inputs, outputs)
                done.set(done.get() + rows)
    code.end()


def _fits(done: Var, rows: int, count: Val, *, first: bool) -> Callable[[], Val]:
    """Whether so many rows are left; first: and none is done."""
    if first:
        return lambda: (count >= rows) & done.get().eq(0)
    return lambda: done.get() + rows <= count


def _tiles(target: Target) -> list[tuple[int, bool]]:
    """(rows of a tile, whether to ask for weights ahead): the largest tile in two ways, since after the
    first tile a panel's weights lie in the cache."""
    largest, *others = tile_sizes(target)
    return [(largest, True), (largest, False), *((rows, True) for rows in others)]


def tile_sizes(target: Target) -> tuple[int, ...]:
    """How many rows are multiplied together; the largest that registers hold first."""
    return (8, 6, 5, 4, 3, 2, 1) if target.registers >= 32 else (4, 2, 1) if target.registers >= 8 else (2, 1)
