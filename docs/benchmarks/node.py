"""Measures the node itself (not the engine): `make bench`, or `python docs/benchmarks/node.py`.

Writes the raw figures as JSON to docs/benchmarks/raw/node.json and the table to standard output. Every
figure is a median over the runs that the table names; the node and its workers are real processes on
loopback, the clients run in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from swarmnode.observability.machine import machine_facts
from swarmnode.testing.node_process import NodeProcess

HERE = Path(__file__).resolve().parent
GUIDE = "swarmnode-guide"
STREAMS, WORDS, WORDS_PER_SECOND = 200, 200, 20


def seconds_of(*command: str, runs: int = 15) -> dict[str, float]:
    """Wall seconds of a whole process, after one warm-up run."""
    taken = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=False, capture_output=True)
        taken.append(time.perf_counter() - begun)
    return spread(taken[1:])


def spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "min": ordered[0],
        "median": statistics.median(ordered),
        "p95": ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        "max": ordered[-1],
        "n": len(ordered),
    }


def memory(pid: int) -> dict[str, float]:
    """Resident megabytes of a process: all pages, and the anonymous ones."""
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "RssAnon", "VmHWM")}


def chat(model: str, text: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "stream": True, **fields}


def start_up(home: Path, runs: int = 5) -> dict[str, Any]:
    """From `run` to ready, and to the first piece of an answer from the model in the package."""
    ready, first = [], []
    for number in range(runs):
        node = NodeProcess(home / f"start-{number}")
        begun = time.perf_counter()
        with node:
            ready.append(time.perf_counter() - begun)
            stream = node.stream("/v1/chat/completions", chat("auto", "What is swarmnode?", temperature=0))
            for chunk in stream:
                if chunk["choices"][0]["delta"].get("content"):
                    break
            first.append(time.perf_counter() - begun)
    return {"ready_s": spread(ready), "first_answer_s": spread(first)}


def first_token(node: NodeProcess, runs: int = 30) -> dict[str, float]:
    """Milliseconds from sending the request to the first text of a warm guide model."""
    taken = []
    for number in range(runs + 1):
        begun = time.perf_counter()
        for chunk in node.stream(
            "/v1/chat/completions", chat(GUIDE, f"How do I stop it? {number}", temperature=0)
        ):
            if chunk["choices"][0]["delta"].get("content"):
                taken.append((time.perf_counter() - begun) * 1000)
                break
    return spread(taken[1:])


async def read_stream(node: NodeProcess, key: str, body: dict[str, Any]) -> tuple[list[float], int]:
    """The moments at which text arrived, and how many events carried it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    data = json.dumps(body).encode()
    writer.write(
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
        % (key.encode(), len(data), data)
    )
    moments: list[float] = []
    events = 0
    while line := await reader.readline():
        if line.startswith(b"data: {"):
            moments.append(time.perf_counter())
            # The first chunk carries the role and an empty text.
            events += b'"content":"' in line and b'"content":""' not in line
        elif line.startswith(b"data: [DONE]"):
            break
    writer.close()
    return moments, events


def token_cost(node: NodeProcess, words: int = 3000) -> dict[str, float]:
    """Microseconds a token from the scripted back end to the client, all three processes included."""
    body = chat("echo", "word " * words, max_tokens=words)
    node_before = cpu_seconds(node.pid)
    begun = time.perf_counter()
    moments, events = asyncio.run(read_stream(node, node.api_key, body))
    taken = moments[-1] - moments[0]
    return {
        "tokens": events,
        "wall_us_per_token": taken / events * 1e6,
        "node_cpu_us_per_token": (cpu_seconds(node.pid) - node_before) / events * 1e6,
        "total_s": time.perf_counter() - begun,
    }


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def many_streams(home: Path) -> dict[str, Any]:
    """200 streams at once, each 200 words at 20 words a second: gaps between a stream's events, memory."""
    settings = {
        "inference.max_concurrent_requests": STREAMS,
        "inference.max_concurrent_decode_batch": STREAMS,
        "inference.max_batch_size": STREAMS,
        "inference.scripted_models": "steady",
    }
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with NodeProcess(home / "many", *flags) as node:
        asyncio.run(read_stream(node, node.api_key, chat("steady", "warm up now")))
        before = memory(node.pid)
        begun = time.perf_counter()
        results = asyncio.run(all_streams(node))
        taken = time.perf_counter() - begun
        after = [memory(node.pid)]
        for _ in range(2):
            asyncio.run(all_streams(node))
            after.append(memory(node.pid))
    gaps = [b - a for moments, _ in results for a, b in pairwise(moments[1:])]
    return {
        "streams": STREAMS,
        "complete": sum(events == WORDS for _, events in results),
        "events": sum(events for _, events in results),
        "seconds": taken,
        "gap_ms": spread([gap * 1000 for gap in gaps]),
        "node_mb_before": before,
        "node_mb_after": after,
    }


def repeated_streams(home: Path, rounds: int = 12) -> list[dict[str, float]]:
    """Memory of the node before and after each of many rounds of 200 streams at full speed."""
    settings = {"inference.max_concurrent_requests": STREAMS, "inference.scripted_models": "echo"}
    flags = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    with NodeProcess(home / "repeated", *flags) as node:
        levels = [memory(node.pid)]
        for _ in range(rounds):
            asyncio.run(all_streams(node, "echo"))
            levels.append(memory(node.pid))
    return levels


async def all_streams(node: NodeProcess, model: str = "steady") -> list[tuple[list[float], int]]:
    body = chat(model, "word " * WORDS, max_tokens=WORDS)
    key = node.api_key
    return await asyncio.gather(*(read_stream(node, key, body) for _ in range(STREAMS)))


def measure() -> dict[str, Any]:
    swarmnode = str(Path(sys.executable).with_name("swarmnode"))
    machine = machine_facts()
    figures: dict[str, Any] = {
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "python": platform.python_version(),
        }
    }
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        figures["help_s"] = seconds_of(swarmnode, "--help")
        figures |= start_up(home)
        with NodeProcess(home / "warm", "--set", "inference.scripted_models=echo") as node:
            place = ("--port", str(node.port), "--data-dir", str(node.data_dir))
            figures["status_s"] = seconds_of(swarmnode, "status", *place)
            figures["node_mb_ready"] = memory(node.pid)
            figures["first_token_ms"] = first_token(node)
            figures["token_cost"] = [token_cost(node) for _ in range(5)]
            figures["node_mb_used"] = memory(node.pid)
        figures["many_streams"] = many_streams(home)
        figures["repeated_streams_mb"] = repeated_streams(home)
    return figures


def table(figures: dict[str, Any]) -> str:
    cost = statistics.median(run["node_cpu_us_per_token"] for run in figures["token_cost"])
    wall = statistics.median(run["wall_us_per_token"] for run in figures["token_cost"])
    many = figures["many_streams"]
    rows = [
        ("`swarmnode --help`", "< 0.4 s", f"{figures['help_s']['median']:.3f} s"),
        ("`swarmnode status`", "< 0.4 s", f"{figures['status_s']['median']:.3f} s"),
        ("node process, resident, ready", "< 100 MB", f"{figures['node_mb_ready']['VmRSS']:.1f} MB"),
        (
            "node process, resident, after the requests",
            "< 100 MB",
            f"{figures['node_mb_used']['VmRSS']:.1f} MB",
        ),
        (
            "from `run` to ready",
            "< 2 s",
            f"{figures['ready_s']['median']:.2f} s (max {figures['ready_s']['max']:.2f})",
        ),
        (
            "from `run` to the first text",
            "< 3 s",
            f"{figures['first_answer_s']['median']:.2f} s (max {figures['first_answer_s']['max']:.2f})",
        ),
        (
            "first token, warm guide model",
            "< 150 ms",
            f"{figures['first_token_ms']['median']:.1f} ms (p95 {figures['first_token_ms']['p95']:.1f})",
        ),
        ("node's own processor time a token, one stream", "< 1 ms", f"{cost / 1000:.3f} ms"),
        ("worker to client, wall time a token, one stream", "", f"{wall / 1000:.3f} ms"),
        (f"{many['streams']} streams: complete", "all", f"{many['complete']} of {many['streams']}"),
        (
            f"{many['streams']} streams: gap between events ({1000 / WORDS_PER_SECOND:.0f} ms sent)",
            "no stall",
            "median {median:.1f} ms, p95 {p95:.1f}, max {max:.1f}".format(**many["gap_ms"]),
        ),
        (
            f"{many['streams']} streams: node memory before, and after each of three rounds",
            "flat",
            ", ".join(f"{m['VmRSS']:.1f}" for m in [many["node_mb_before"], *many["node_mb_after"]]) + " MB",
        ),
    ]
    levels = [level["VmRSS"] for level in figures["repeated_streams_mb"]]
    rows.append(
        (
            f"node memory over {len(levels) - 1} rounds of {many['streams']} streams at full speed",
            "flat",
            "start {:.1f}, after round 1 {:.1f}, 6 {:.1f}, last {:.1f} MB".format(
                *(levels[i] for i in (0, 1, 6, -1))
            ),
        )
    )
    return "\n".join(
        ["| figure | wanted | measured |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "raw" / "node.json")
    arguments = parser.parse_args()
    figures = measure()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(figures, indent=1) + "\n")
    print(table(figures))


if __name__ == "__main__":
    main()
