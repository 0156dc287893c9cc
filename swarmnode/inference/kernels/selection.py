"""Which instruction set is used: the best one that computes the same bits as plain operations do.

A processor, a virtual machine or a compiler may be wrong about one instruction; a node that computes other
bits than its peers would change the text in mid-answer. So each target is tried on `self_check`'s data before
it is used the first time; what came out is remembered for the processor and the source.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache as once
from pathlib import Path

import llvmlite.binding as llvm

from swarmnode.inference.kernels.code_files import CodeFiles
from swarmnode.inference.kernels.jit import Jit, source_digest
from swarmnode.inference.kernels.self_check import checks_for, run_check
from swarmnode.inference.kernels.targets import REFERENCE, TARGETS, Target, available
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.layers import KvType

#: The environment variable that names the one target to use.
OVERRIDE = "SWARMNODE_CPU_TARGET"

Log = Callable[[str], None]


def log_to_stderr(text: str) -> None:
    """A worker's standard error is its log."""
    print(text, file=sys.stderr, flush=True)


@once
def processor() -> str:
    """What results are remembered for: the processor and all it says that it can do."""
    features = ",".join(sorted(name for name, there in llvm.get_host_cpu_features().items() if there))
    return f"{platform.machine()} {llvm.get_host_cpu_name()} {features}"


class Selection:
    """Chooses a target for models with weights of the packed types `formats` and a cache of type `kv`.

    cache: where machine code and results are kept (None: nowhere). candidates: what this machine offers, the
    best first. environ: where `SWARMNODE_CPU_TARGET` is looked up. log: told by name what is used, and what
    is not and why.
    """

    def __init__(
        self,
        formats: frozenset[str],
        kv: KvType,
        cache: Path | None = None,
        *,
        candidates: Sequence[Target] | None = None,
        environ: Mapping[str, str] | None = None,
        log: Log = log_to_stderr,
    ) -> None:
        self._names = checks_for(formats, kv)
        self._cache = cache
        self._candidates = available() if candidates is None else tuple(candidates)
        self._environ = os.environ if environ is None else environ
        self._log = log
        self._files = CodeFiles(cache, source_digest())
        self._results = self._remembered()
        self._truth: dict[str, bytes] = {}
        self._reference: Jit | None = None

    def choose(self) -> Jit:
        """A compiler for the target, with what the checks have compiled. Raises `Refused` where the
        environment names a target that this machine does not have (`bad_cpu_target`), `LocalFault` where
        none computes what it should (`no_cpu_target`)."""
        wanted = self._environ.get(OVERRIDE, "")
        offered = (self._named(wanted),) if wanted else self._candidates
        for target in offered:
            jit = Jit(target, self._cache)
            wrong = self._wrong(jit)
            if not wrong:
                self._log(f"kernels: {target.name}" + (f" (as {OVERRIDE} says)" if wanted else ""))
                return jit
            self._log(
                f"kernels: {target.name} is not used: {', '.join(wrong)} came out otherwise than by plain "
                "operations on this processor"
            )
        raise LocalFault(
            f"no instruction set of {', '.join(one.name for one in offered)} computes the right bits here",
            code="no_cpu_target",
            hint=f"Unset {OVERRIDE}." if wanted else "Test the memory and the processor of this machine.",
        )

    def _named(self, name: str) -> Target:
        for target in self._candidates:
            if target.name == name:
                return target
        offered = ", ".join(one.name for one in self._candidates)
        known = any(one.name == name for one in TARGETS)
        raise Refused(
            f"{OVERRIDE}={name}: {'this machine does not have it' if known else 'there is no such target'}",
            code="bad_cpu_target",
            hint=f"Unset it, or give one of: {offered}.",
        )

    def _wrong(self, jit: Jit) -> list[str]:
        """The checks that the target fails."""
        missing = [name for name in self._names if f"{jit.target.name} {name}" not in self._results]
        for name in missing:
            same = run_check(jit, name) == self._true(name)
            self._results[f"{jit.target.name} {name}"] = same
        if missing:
            self._remember()
        return [name for name in self._names if not self._results[f"{jit.target.name} {name}"]]

    def _true(self, name: str) -> bytes:
        if name not in self._truth:
            self._reference = self._reference or Jit(REFERENCE, self._cache)
            self._truth[name] = run_check(self._reference, name)
        return self._truth[name]

    # Results on disk: {"<target> <check>": whether it is right}.

    def _remembered(self) -> dict[str, bool]:
        try:
            found = json.loads(self._files.read(processor()) or b"{}")
        except ValueError:
            return {}
        results = found.items() if isinstance(found, dict) else ()
        return {key: value for key, value in results if isinstance(value, bool)}

    def _remember(self) -> None:
        """Two that write at once may forget each other's: then a check is made once more."""
        self._results = self._remembered() | self._results
        self._files.write(processor(), json.dumps(self._results).encode())
