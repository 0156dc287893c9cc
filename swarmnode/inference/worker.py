"""The worker program: `python -m swarmnode.inference.worker --link fd:3`.

Four threads: the engine (the main one), the link, text, and the watchdog. Standard output and error are
logs. The program ends when the node says so or closes the link, and on nothing else.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # before anything else is imported: the signals may come at any time
    from swarmnode.inference.watchdog import die_with_parent, ignore_stop_signals

    ignore_stop_signals()
    die_with_parent()

import argparse
import glob
import os
import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarmnode.inference.engine_loop import EngineLoop
from swarmnode.inference.link_loop import LinkLoop
from swarmnode.inference.text_loop import TextLoop
from swarmnode.inference.watchdog import leave_now, limit_address_space, resident_bytes, watch_link
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import GgufFile
from swarmnode.policy.memory import footprint_of
from swarmnode.protocols.worker.vocabulary import (
    AddCredit,
    CancelSlot,
    MakeEngine,
    Measured,
    Quit,
    RunCall,
    Submit,
)
from swarmnode.protocols.worker.worker_end import WorkerEnd
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.loading import LoadSpec

#: Seconds between two reports about this process.
MEASURE_SECONDS = 1.0
#: How long a thread may hold the interpreter while another one waits: the link must not wait longer.
SWITCH_SECONDS = 0.001
#: Address space that a thread may come to reserve: its stack, its part of the heap.
THREAD_BYTES = 192 << 20
FAULT_EXIT = 70
_TEXT_KINDS = ("tokenize", "detokenize")


class WorkerProgram:
    """Wires the threads of one worker."""

    def __init__(self, link: socket.socket) -> None:
        self._socket = link
        self._engine = EngineLoop(lambda event: self._link.post(event))
        self._text = TextLoop(self._engine, lambda event: self._link.post(event))
        self._measured: dict[str, Any] = {}
        execute: dict[type, Callable[[Any], None]] = {
            MakeEngine: self._make_engine,
            Submit: self._submit,
            AddCredit: lambda e: self._engine.call(lambda: self._engine.add_credit(e.slot, e.count)),
            CancelSlot: lambda e: self._engine.call(lambda: self._engine.cancel(e.slot)),
            RunCall: self._run_call,
            Quit: self._leave,
        }
        self._link = LinkLoop(link, WorkerEnd(os.getpid()), execute, self._broken)

    def run(self) -> None:
        """Serve until the node wants no more; does not return."""
        watch_link(self._socket, leave_now)
        self._text.start()
        threading.Thread(target=self._serve_link, name="link", daemon=True).start()
        self._engine.run()
        threading.Event().wait()  # the link thread ends the process, when it has said the last word

    def _serve_link(self) -> None:
        try:
            self._link.callLater(MEASURE_SECONDS, self._measure)
            self._link.run()
        finally:
            leave_now(FAULT_EXIT)

    def _make_engine(self, effect: MakeEngine) -> None:
        limit_address_space(model_bytes(effect.spec))
        self._engine.call(lambda: self._engine.load(effect.spec, effect.factory))

    def _submit(self, effect: Submit) -> None:
        self._engine.call(lambda: self._engine.expect(effect.slot))
        self._text.prepare(effect.slot, effect.payload)

    def _run_call(self, effect: RunCall) -> None:
        if effect.question.kind in _TEXT_KINDS:
            self._text.ask(effect.question)
        else:
            self._engine.call(lambda: self._engine.stage_call(effect.question))

    def _measure(self) -> None:
        values: dict[str, Any] = {"progress": self._engine.progress, "resident_bytes": resident_bytes()}
        if (part := self._engine.loading) is not None:
            values["loading"] = round(part, 3)
        if counts := self._engine.prefix_cache:
            values["prefix_cache"] = counts
        if counts := self._engine.load_now:
            values["load"] = counts
        if values != self._measured:
            self._measured = values
            self._link.post(Measured(values))
        self._link.callLater(MEASURE_SECONDS, self._measure)

    def _leave(self, effect: Quit) -> None:
        if effect.error:
            print(f"worker ends: {effect.error.message}", file=sys.stderr, flush=True)
        self._link.finish()
        leave_now(FAULT_EXIT if effect.error else 0)

    def _broken(self, error: SwarmnodeError) -> None:
        print(f"worker ends: {error.message}", file=sys.stderr, flush=True)
        leave_now(FAULT_EXIT)


def model_bytes(spec: LoadSpec) -> int:
    """An upper bound of the address space that the spec's engine needs: file, weights, caches, threads."""
    path = Path(spec.path)
    stem = re.sub(r"-\d{5}-of-\d{5}$", "-*", path.stem)  # all parts of a split file
    parts = path.parent.glob(f"{glob.escape(stem[:-1])}*{path.suffix}") if stem != path.stem else [path]
    size = sum(part.stat().st_size for part in parts if spec.path and part.is_file())
    threads = THREAD_BYTES * (spec.threads or os.cpu_count() or 1)
    return 3 * size + spec.kv_bytes + spec.dequantised_bytes + _weight_bytes(spec) + threads


def _weight_bytes(spec: LoadSpec) -> int:
    """The weights as they are packed: as float32 where their type has no packing of its own."""
    if not (spec.path and spec.weights):
        return 0
    try:
        with GgufFile(spec.path) as gguf:
            return footprint_of(read_facts(gguf), spec).weights
    except (SwarmnodeError, OSError):
        return 0  # loading will say what is wrong with the file


def open_link(where: str) -> socket.socket:
    """The link named on the command line: `fd:N`, or `tcp:PORT` with a token on standard input."""
    way, _, number = where.partition(":")
    if way == "fd":
        link = socket.socket(fileno=int(number))
        link.set_inheritable(False)
        return link
    token = sys.stdin.buffer.readline().strip()
    link = socket.create_connection(("127.0.0.1", int(number)), timeout=30)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(token + b"\n")
    return link


def main(arguments: list[str] | None = None) -> None:
    """Run the worker; does not return."""
    parser = argparse.ArgumentParser(prog="swarmnode.inference.worker", description=__doc__)
    parser.add_argument("--link", required=True, help="fd:N or tcp:PORT")
    link = open_link(parser.parse_args(arguments).link)
    sys.setswitchinterval(SWITCH_SECONDS)
    WorkerProgram(link).run()


if __name__ == "__main__":
    main()
