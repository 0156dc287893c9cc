"""Starting a worker process: its command, its environment, its end of the link."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import swarmnode

MODULE = "swarmnode.inference.worker"
#: Number of the link's descriptor in the worker.
LINK_FD = 3

#: What of the node's environment a worker gets to see. Keys of providers are not among it.
_PASSED = (
    "HOME",
    "LANG",
    "LD_LIBRARY_PATH",
    "LOCALAPPDATA",
    "PATH",
    "SWARMNODE_CPU_TARGET",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USERPROFILE",
    "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)

#: Libraries must not make threads of their own: a stage computes a row on one (DESIGN 6).
_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def worker_command(link: str) -> list[str]:
    """The command line of a worker; `link` as its `--link` takes it."""
    return [sys.executable, "-m", MODULE, "--link", link]


def worker_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker, made from the node's."""
    passed = {key: value for key, value in environ.items() if key in _PASSED or key.startswith("LC_")}
    root = str(Path(swarmnode.__file__).resolve().parent.parent)
    paths = [root, *filter(None, environ.get("PYTHONPATH", "").split(_SEPARATOR))]
    return {
        **passed,
        **dict.fromkeys(_ONE_THREAD, "1"),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": _SEPARATOR.join(dict.fromkeys(paths)),
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
    }


_SEPARATOR = ";" if sys.platform == "win32" else ":"


@contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Have a child start with SIGINT and SIGTERM blocked, so that neither reaches it before it ignores
    them; the mask is inherited, and the worker clears it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
