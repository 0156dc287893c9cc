"""The BLAS under numpy: one thread, and the name of its kernels.

Which kernels run decides the last bits of every product, so their name is part of the numerics
profile; several threads would cut a product differently, so there is exactly one.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

#: What is in the names of the exported functions besides these words differs between builds.
_PREFIXES = ("scipy_openblas_", "openblas_")
_SUFFIXES = ("64_", "_64_", "")


def hold_to_one_thread() -> str:
    """Make numpy's products run on the calling thread alone; return the name of the BLAS kernels.

    The name is OpenBLAS's (`SkylakeX`, `Haswell`, `neoversen1`, ...), `Accelerate` or `unknown`.
    """
    library = _library()
    if library is None:
        return _other_name()
    set_threads = _function(library, "set_num_threads")
    if set_threads is not None:
        set_threads(1)
    return _core(library)


@cache
def _core(library: ctypes.CDLL) -> str:
    name = _function(library, "get_corename")
    if name is None:
        return "unknown"
    name.restype = ctypes.c_char_p
    return (name() or b"unknown").decode("ascii", "replace")


@cache
def _library() -> ctypes.CDLL | None:
    """The OpenBLAS that numpy's wheel brings along, or None."""
    package = Path(np.__file__).parent
    folders = (package.parent / "numpy.libs", package / ".dylibs", package / ".libs")
    for folder in folders:
        for path in sorted(folder.glob("*openblas*")) if folder.is_dir() else ():
            return ctypes.CDLL(str(path))
    return None


def _function(library: ctypes.CDLL, word: str) -> Any:
    for prefix in _PREFIXES:
        for suffix in _SUFFIXES:
            try:
                return getattr(library, f"{prefix}{word}{suffix}")
            except AttributeError:
                continue
    return None


def _other_name() -> str:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return "Accelerate" if "accelerate" in str(blas.get("name", "")).lower() else "unknown"
