"""From IR to machine code: optimised once, kept on disk, loaded again in milliseconds."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from swarmnode.inference.kernels.code_files import CodeFiles
from swarmnode.inference.kernels.targets import Target

Build = Callable[[ir.Module], None]


@cache
def _initialised() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


@cache
def source_digest() -> str:
    """What the kernels' source is: code kept on disk is of no use to another version."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    digest.update(repr((llvmlite.__version__, llvm.llvm_version_info)).encode())
    return digest.hexdigest()


def machine_of(target: Target) -> llvm.TargetMachine:
    """LLVM's idea of the target."""
    _initialised()
    triple = target.triple or llvm.get_process_triple()
    return llvm.Target.from_triple(triple).create_target_machine(
        cpu=target.cpu,
        features=target.features,
        opt=3 if target.optimised else 0,
        reloc="default",
        codemodel="jitdefault",
        jit=True,
    )


def optimised(target: Target, build: Build, name: str) -> llvm.ModuleRef:
    """The optimised IR of what `build` writes into a module."""
    machine = machine_of(target)
    module = ir.Module(name)
    module.triple = target.triple or llvm.get_process_triple()
    build(module)
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=2 if target.optimised else 0)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


class Jit:
    """Compiles kernels for one target and hands out their addresses; thread-safe.

    directory: where machine code is kept between starts; None keeps nothing. progress(modules) is told how
    many modules are ready after each one. compiled and loaded count the modules of each kind.
    """

    def __init__(
        self, target: Target, directory: Path | None = None, progress: Callable[[int], None] = lambda _: None
    ) -> None:
        _initialised()
        self.target = target
        self.compiled = self.loaded = 0
        self._files = CodeFiles(directory, source_digest())
        self._progress = progress
        self._lock = threading.RLock()
        self._addresses: dict[str, int] = {}
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine_of(target))

    def address(self, name: str, build: Build) -> int:
        """The address of the function `name` that `build` writes (a name has one meaning)."""
        with self._lock:
            if name not in self._addresses:
                code = self._code(name, build)
                self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
                self._engine.finalize_object()
                self._addresses[name] = self._engine.get_function_address(name)
                self._progress(len(self._addresses))
            return self._addresses[name]

    def _code(self, name: str, build: Build) -> bytes:
        key = repr((self.target, llvm.get_process_triple(), name))
        kept = self._files.read(key)
        if kept is not None:
            self.loaded += 1
            return kept
        code: bytes = machine_of(self.target).emit_object(optimised(self.target, build, name))
        self.compiled += 1
        self._files.write(key, code)
        return code
