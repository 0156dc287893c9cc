"""ARM's kernels, run by an emulator, give this machine's bits.

The kernels are compiled for aarch64 and linked with a small C program, which maps each check's memory at the
address that its argument tables were written for, calls the kernels and writes the memory back.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swarmnode.inference.kernels import rows
from swarmnode.inference.kernels.append import append
from swarmnode.inference.kernels.attention import attend
from swarmnode.inference.kernels.check_memory import CHECK_BYTES, Check
from swarmnode.inference.kernels.jit import Jit, machine_of, optimised
from swarmnode.inference.kernels.page_layout import BLOCK, PageLayout
from swarmnode.inference.kernels.program import float_bits
from swarmnode.inference.kernels.self_check import CHECKS, Write, awkward_rows, run_check
from swarmnode.inference.kernels.targets import available, target

COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
NEON = replace(target("neon"), triple="aarch64-linux-gnu")
#: An address that is free in the emulated program.
BASE = 1 << 36

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (shutil.which(COMPILER) and shutil.which(EMULATOR)),
        reason="Debian's gcc-aarch64-linux-gnu and qemu-user are not installed",
    ),
    pytest.mark.skipif(platform.machine() in ("aarch64", "arm64"), reason="this machine has NEON itself"),
]


def more_rows(check: Check) -> None:
    """What the self-check leaves out: other forms of the same kernels."""
    values = awkward_rows(512)
    count, line = values.shape[0], values.strides[0]
    source = check.put(values)
    kernels = (
        (rows.activate("silu", gated=False), [512, 0, 0]),
        (rows.activate("gelu", gated=False), [512, 0, 0]),
        (rows.add_vector(), [512, source]),
        (rows.add_rows(), [512, source, line]),
        (rows.scale_rows(), [512, float_bits(0.7)]),
    )
    for kernel, rest in kernels:
        place = check.put(values)
        check.watch(place, values.nbytes, np.float32)
        check.call(kernel, [place, line, *rest], count)
    turns = check.put(np.random.default_rng(1).uniform(-1, 1, (3, 2, 10)).astype(np.float32))
    place = check.put(values)
    check.watch(place, values.nbytes, np.float32)
    positions = check.put(np.arange(count, dtype=np.int64) % 3)
    check.call(rows.rotate(pairs=True), [place, line, 16, 32, 10, turns, positions], count)


def more_attention(check: Check) -> None:
    """Large heads, large groups, caps."""
    rng = np.random.default_rng(2)
    for kv, dim, group in (("f16", 128, 8), ("q8_0", 80, 3), ("f32", 20, 1)):
        layout = PageLayout(1, dim, kv)  # type: ignore[arg-type]
        keys, values = (check.put(rng.standard_normal((100, dim)).astype(np.float32)) for _ in range(2))
        pages = [check.room(layout.layer_bytes) for _ in range(-(-100 // BLOCK))]
        tables = check.put(np.full(100, check.put(np.array(pages, np.int64)), np.int64))
        positions = check.put(np.arange(100, dtype=np.int64))
        check.call(append(layout, check.target), [keys, 4 * dim, values, 4 * dim, 0, positions, tables], 100)
        queries = rng.standard_normal((100, dim * group)).astype(np.float32)
        out = check.output(queries.nbytes, np.float32)
        line = queries.strides[0]
        fields = [check.put(queries), line, out, line, 0, positions, tables, 50, float_bits(0.1)]
        check.call(attend(layout, group, check.target, softcap=True), [*fields, float_bits(2.0)], 100)


ALL: dict[str, Write] = {**CHECKS, "more rows": more_rows, "more attention": more_attention}


def program(checks: dict[str, Check]) -> str:
    """The C program: one function a check, chosen by its number; argv: number, memory, result."""
    names = sorted({call.kernel[0] for check in checks.values() for call in check.calls})
    lines = ["#include <stdint.h>", "#include <stdio.h>", "#include <stdlib.h>", "#include <sys/mman.h>"]
    lines += [f"void {name}(int64_t, int64_t, int64_t);" for name in names]
    for number, check in enumerate(checks.values()):
        calls = [f"    {call.kernel[0]}({call.arguments}LL, 0, {call.last});" for call in check.calls]
        lines += [f"static void check_{number}(void) {{", *calls, "}"]
    table = ", ".join(f"check_{number}" for number in range(len(checks)))
    lines.append(f"static void (*const CHECKS[])(void) = {{{table}}};")
    lines.append(f"enum {{ SIZE = {CHECK_BYTES} }};")
    lines.append(
        """
int main(int argc, char **argv) {
    if (argc != 4) return 2;
    char *at = mmap((void *)BASE, SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (at != (char *)BASE) return 3;
    FILE *in = fopen(argv[2], "rb");
    if (!in || fread(at, 1, SIZE, in) != SIZE) return 4;
    CHECKS[atoi(argv[1])]();
    FILE *out = fopen(argv[3], "wb");
    if (!out || fwrite(at, 1, SIZE, out) != SIZE || fclose(out)) return 5;
    return 0;
}
""".replace("BASE", f"{BASE}LL")
    )
    return "\n".join(lines)


class Emulated:
    """The checks, laid out for `BASE`, and the program that runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checks = {name: Check(NEON, BASE) for name in ALL}
        kernels = {}
        for name, check in self.checks.items():
            ALL[name](check)
            kernels.update({call.kernel[0]: call.kernel[1] for call in check.calls})
        objects, self.assembly = [], {}
        machine = machine_of(NEON)
        for name, build in kernels.items():
            module = optimised(NEON, build, name)
            path = folder / f"{name}.o"
            path.write_bytes(machine.emit_object(module))
            objects.append(str(path))
            self.assembly[name] = str(machine.emit_assembly(module))
        (folder / "main.c").write_text(program(self.checks))
        self.program = folder / "kernels"
        words = [COMPILER, "-static", "-O1", "-o", str(self.program), str(folder / "main.c")]
        subprocess.run([*words, *objects, "-lm"], check=True)

    def run(self, name: str) -> bytes:
        check, number = self.checks[name], list(self.checks).index(name)
        memory, result = self.folder / f"{number}.in", self.folder / f"{number}.out"
        memory.write_bytes(check.data.tobytes())
        words = [EMULATOR, str(self.program), str(number), str(memory), str(result)]
        subprocess.run(words, check=True, timeout=300)
        return check.results(np.frombuffer(result.read_bytes(), np.uint8))


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    yield Emulated(tmp_path_factory.mktemp("neon"))


@pytest.mark.parametrize("name", ALL)
def test_the_same_bits_as_here(emulated: Emulated, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CHECKS, name, ALL[name])
    here = run_check(Jit(available()[0]), name)
    there = emulated.run(name)
    assert len(there) == len(here) and np.count_nonzero(np.frombuffer(here, np.uint8)) > 1000
    assert there == here


def test_the_instructions_are_those_of_arm(emulated: Emulated) -> None:
    for name in ("Q4_K", "Q5_K", "Q6_K", "Q8_0", "Q4_0"):
        assert "sdot" in emulated.assembly[f"matmul_{name}"]
    assert all("\tbl\t" not in text for text in emulated.assembly.values())  # nothing is called
