"""How fast this machine reads memory: the ceiling of decoding, which reads every weight once a token.

Each thread searches its own part of a buffer far larger than the caches for a byte that is not there:
`memchr` of the C library only reads, in the widest loads the processor has, and ctypes lets the
interpreter go. Two ways of or-ing all numbers together are tried too, numpy's and vector loads; the fastest
of the three counts.
"""

from __future__ import annotations

import argparse
import ctypes
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir

from swarmnode.inference.kernels.code import I32V, LANES, Code, Var
from swarmnode.inference.kernels.jit import Jit
from swarmnode.inference.kernels.targets import available

#: Bytes that all threads read together in one pass: many times any level of cache.
BUFFER_BYTES = 1 << 30
PASSES = 4
#: Bytes that the compiled way reads in one turn of its loop.
STRIDE = 1024

Bytes = npt.NDArray[np.uint8]


def measure(threads: int, size: int = BUFFER_BYTES, passes: int = PASSES) -> float:
    """Bytes a second read by that many threads together: the best of some passes of each way."""
    buffer = np.full(size, 1, np.uint8)
    parts = np.array_split(buffer, threads)
    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for read in (_search(), _reduce, _compiled()):
            for _ in range(passes):
                began = time.perf_counter()
                list(pool.map(read, parts))
                best = max(best, size / (time.perf_counter() - began))
    return best


def _search() -> Callable[[Bytes], Any]:
    memchr = ctypes.CDLL(None).memchr
    memchr.restype, memchr.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    return lambda part: memchr(part.ctypes.data, 0, part.nbytes)


def _words(part: Bytes) -> npt.NDArray[np.uint64]:
    return part[: part.nbytes // 8 * 8].view(np.uint64)


def _reduce(part: Bytes) -> Any:
    return np.bitwise_or.reduce(_words(part))


def _compiled() -> Callable[[Bytes], Any]:
    """The widest loads of this processor, sixteen lines at a time."""
    jit = Jit(available()[0])
    read = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(jit.address("read_all", _read_all))
    found = np.zeros(LANES, np.int32)

    def call(part: Bytes) -> None:
        assert jit.compiled  # the code lives as long as what compiled it
        read(part.ctypes.data, part.nbytes // STRIDE * STRIDE, found.ctypes.data)

    return call


def _read_all(module: ir.Module) -> None:
    code = Code(module, "read_all", 3)
    start, size, found = code.arguments
    sums = [Var(code, code.const(I32V, 0)) for _ in range(4)]
    with code.range(0, size, STRIDE) as at:
        for line in range(STRIDE // 64):
            total = sums[line % len(sums)]
            total.set(total.get() | code.load(I32V, start + at, 64 * line))
    code.store(sums[0].get() | sums[1].get() | sums[2].get() | sums[3].get(), found)
    code.end()


def main() -> None:
    """Print it for some numbers of threads."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bandwidth", description=__doc__)
    parser.add_argument("threads", type=int, nargs="*", default=[1, 2])
    for threads in parser.parse_args().threads:
        print(f"{threads} threads: {measure(threads) / 1e9:.1f} GB/s")


if __name__ == "__main__":
    main()
