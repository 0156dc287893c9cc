"""A real node and its worker, measured from outside: streams over HTTP, start-up, memory. Linux only."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swarmnode.testing.node_process import NodeProcess, is_alive

STREAMS, STREAM_TOKENS = 8, 200
#: Seconds after which the node unloads the model, where that is what is measured.
UNLOAD_SECONDS = 2
READY_SECONDS = 60.0
ANSWER_SECONDS = 600.0
MEGABYTE = 1_000_000


@contextmanager
def running_node(
    model: str, settings: dict[str, Any], cache: Path | None = None, cache_variable: str = ""
) -> Iterator[tuple[NodeProcess, str]]:
    """A node that offers one model file, and the model's name. cache: where kernels are kept, by that
    variable of the environment. A data directory of its own, removed afterwards."""
    home = Path(tempfile.mkdtemp(prefix="bench-node-"))
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    environment = {cache_variable: str(cache)} if cache is not None else {}
    node = NodeProcess(home, "--set", f"inference.model_path={model}", *flags, environment=environment)
    try:
        node.start().wait_ready(READY_SECONDS)
        yield node, name_of(node, model)
        node.stop()
    finally:
        node.kill_group()
        shutil.rmtree(home, ignore_errors=True)


def name_of(node: NodeProcess, model: str) -> str:
    """The name under which the node offers the file: the listed one that its name begins like."""
    _status, listed, _headers = node.request("GET", "/v1/models")
    names = [str(entry["id"]) for entry in listed["data"]]
    stem = Path(model).stem.lower()
    found = [name for name in names if name.lower().startswith(stem[:8]) or stem.startswith(name.lower()[:8])]
    if not found:
        raise RuntimeError(f"the node does not offer {stem!r}: it has {names}")
    return found[0]


def completion(model: str, tokens: int, seed: int) -> dict[str, Any]:
    """A request body: a prompt of few tokens, exactly `tokens` back where the model does not end before."""
    return {
        "model": model,
        "prompt": f"Once upon a time there were {seed} friends",
        "max_tokens": tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def read_stream(node: NodeProcess, body: dict[str, Any]) -> tuple[float, int]:
    """(seconds from sending to the first text, tokens of the answer). Raises `RuntimeError` if none came."""
    began, first, tokens = time.perf_counter(), 0.0, 0
    for chunk in node.stream("/v1/completions", body, timeout=ANSWER_SECONDS):
        if not first and any(choice.get("text") for choice in chunk["choices"]):
            first = time.perf_counter() - began
        if chunk.get("usage"):
            tokens = int(chunk["usage"]["completion_tokens"])
    if not first:
        raise RuntimeError("the answer has no text")
    return first, tokens


def http_streams(
    model: str, threads: int, settings: dict[str, Any] | None = None, **_options: Any
) -> dict[str, Any]:
    """Eight streams one after another, then at once: tokens a second, and how many times one the other is."""
    wanted = {"resources.max_cpu_threads": threads, "inference.max_batch_size": STREAMS, **(settings or {})}
    with running_node(model, wanted) as (node, name):
        read_stream(node, completion(name, 8, 99))
        bodies = [completion(name, STREAM_TOKENS, n) for n in range(2 * STREAMS)]
        began = time.perf_counter()
        apart = [read_stream(node, body) for body in bodies[:STREAMS]]
        apart_seconds = time.perf_counter() - began
        began = time.perf_counter()
        with ThreadPoolExecutor(STREAMS) as pool:
            together = list(pool.map(lambda body: read_stream(node, body), bodies[STREAMS:]))
        together_seconds = time.perf_counter() - began
    apart_speed = sum(tokens for _first, tokens in apart) / apart_seconds
    together_speed = sum(tokens for _first, tokens in together) / together_seconds
    return {
        "tok_s_apart": apart_speed,
        "tok_s_together": together_speed,
        "times": together_speed / apart_speed,
        "tokens_apart": sum(tokens for _first, tokens in apart),
        "tokens_together": sum(tokens for _first, tokens in together),
    }


def start_up(
    model: str,
    threads: int,
    settings: dict[str, Any] | None = None,
    cache_variable: str = "XDG_CACHE_HOME",
    **_options: Any,
) -> dict[str, Any]:
    """Seconds from the node's being ready to the first text: with an empty kernel cache, then three times
    with what the first start left there. The file is read once before, so that it is in the page cache."""
    with Path(model).open("rb") as file:
        while file.read(1 << 24):
            pass
    found: list[float] = []
    with tempfile.TemporaryDirectory(prefix="bench-cache-") as cache:
        wanted = {"resources.max_cpu_threads": threads, **(settings or {})}
        for _ in range(4):
            with running_node(model, wanted, Path(cache), cache_variable) as (node, name):
                found.append(read_stream(node, completion(name, 4, 1))[0])
        kept = sum(path.stat().st_size for path in Path(cache).rglob("*") if path.is_file())
    return {"first_start_s": found[0], "later_starts_s": found[1:], "kernel_cache_bytes": kept}


def memory_of(pid: int) -> dict[str, int]:
    """Bytes that a process has resident: peak (VmHWM), now (VmRSS), and of that anonymous (RssAnon) and
    mapped from files (RssFile)."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii", "replace").splitlines()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    wanted = ("VmHWM", "VmRSS", "RssAnon", "RssFile")
    return {name: int(fields[name].split()[0]) * 1024 for name in wanted if name in fields}


def largest_child(node: NodeProcess) -> int:
    """The process id of the node's largest descendant: the worker that holds the model."""
    sizes: dict[int, int] = {}
    for pid in node.children():
        try:
            sizes[pid] = memory_of(pid)["VmRSS"]
        except (OSError, KeyError):
            continue
    return max(sizes, key=sizes.__getitem__)


def memory(
    model: str, threads: int, settings: dict[str, Any] | None = None, **_options: Any
) -> dict[str, Any]:
    """What the worker holds after some requests, beyond the weights of the file, and that it is gone when
    the model is unloaded (KV that the requests used is small beside it: their tokens are few)."""
    unload = {"auto_manage.idle_unload_secs": UNLOAD_SECONDS}
    wanted = {"resources.max_cpu_threads": threads, **unload, **(settings or {})}
    with running_node(model, wanted) as (node, name):
        read_stream(node, completion(name, 16, 1))
        worker = largest_child(node)
        held = memory_of(worker)
        node_before = memory_of(node.pid)
        time.sleep(2.0 * UNLOAD_SECONDS)
        deadline = time.monotonic() + ANSWER_SECONDS
        while is_alive(worker) and time.monotonic() < deadline:
            time.sleep(0.1)
        given_back = not is_alive(worker)
        node_after = memory_of(node.pid)
    file_bytes = Path(model).stat().st_size
    return {
        "file_bytes": file_bytes,
        "worker": held,
        "anonymous_beyond_file_mb": (held["RssAnon"] - file_bytes) / MEGABYTE,
        "resident_beyond_file_mb": (held["VmRSS"] - file_bytes) / MEGABYTE,
        "peak_beyond_file_mb": (held["VmHWM"] - file_bytes) / MEGABYTE,
        "given_back": given_back,
        "node_before": node_before,
        "node_after": node_after,
    }
