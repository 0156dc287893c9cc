"""The parent's side of template rendering: one child process, kept alive, killed at the deadline."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarmnode.inference.text.render_frames import MAX_FRAME_BYTES, frame_bytes, read_frame
from swarmnode.values.errors import LocalFault, Refused

RENDER_SECONDS = 1.0
#: Starting an interpreter on a busy machine; no template runs in this time.
START_SECONDS = 30.0

_PROGRAM = "swarmnode.inference.text.render_process"
_ROOT = str(Path(__file__).resolve().parents[3])
_KILLED, _KILLED_FOR_CPU = -9, -24  # SIGKILL, SIGXCPU
#: Of the environment, what an interpreter needs; keys and tokens are none of a template's business.
_PASSED_ON = ("PATH", "PYTHONHOME", "LANG", "LC_ALL", "SYSTEMROOT", "TMPDIR", "TEMP")
_HINT = "The template comes with the model's file: use another file, or text completion without a template."


class TemplateRenderer:
    """Renders templates in a child process (`render_process`). Thread-safe; one render at a time.

    deadline: seconds a render may take. The child is started by `warm()` or by the first render, kept
    for the next, and replaced after it was killed or ran out of memory.
    """

    def __init__(self, deadline: float = RENDER_SECONDS) -> None:
        self._deadline = deadline
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._ready = False

    def warm(self) -> None:
        """Start the child now, without waiting for it."""
        with self._lock:
            self._started()

    def render(self, template: str, variables: Mapping[str, Any], *, now: str) -> str:
        """The rendered text. now: ISO 8601, for templates that state the date.

        Raises `Refused`: `template_timeout`, `template_memory`, `template_output`, `template_error`, or
        `template_refusal` where the template itself refuses the conversation.
        """
        request = frame_bytes({"template": template, "now": now, "variables": dict(variables)})
        if len(request) > MAX_FRAME_BYTES:
            raise _fault("template_memory", f"template and conversation exceed {MAX_FRAME_BYTES} bytes")
        with self._lock:
            answer = self._answer(request)
            if answer.get("code") == "template_memory":
                self._end()  # its memory may be in pieces; the next render gets a fresh child
        if "text" in answer:
            return str(answer["text"])
        raise _fault(answer["code"], answer["error"])

    def close(self) -> None:
        """End the child. The renderer can be used again; the next render starts another."""
        with self._lock:
            self._end()

    def _answer(self, request: bytes) -> dict[str, Any]:
        try:
            return self._asked(request)
        except _ChildGone as gone:
            if gone.late or gone.status != _KILLED:
                raise _fault(*gone.named(self._deadline)) from None
        # Somebody else killed it, and not for its template: the system does when the thread that started
        # it ends, or when memory is short. Once more, with a fresh one.
        try:
            return self._asked(request)
        except _ChildGone as gone:
            raise _fault(*gone.named(self._deadline)) from None

    def _asked(self, request: bytes) -> dict[str, Any]:
        child = self._started()
        if not self._ready:
            try:
                self._exchange(child, b"", START_SECONDS)
            except _ChildGone as gone:
                raise _cannot_start(f"exit status {gone.status}") from None
            self._ready = True
        return self._exchange(child, request, self._deadline)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end()
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ}
                | {"PYTHONPATH": path},
            )
        except OSError as error:
            raise _cannot_start(str(error)) from error
        return self._child

    def _exchange(self, child: subprocess.Popen[bytes], request: bytes, seconds: float) -> dict[str, Any]:
        """Send a request (nothing for the greeting) and wait for the answer, at most so long. Raises
        `_ChildGone`."""
        assert child.stdin is not None and child.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(seconds, kill)
        timer.daemon = True
        timer.start()
        answer = None
        try:
            child.stdin.write(request)
            child.stdin.flush()
            answer = read_frame(child.stdout)
        except OSError:
            pass  # the child is gone; its exit status says why
        finally:
            timer.cancel()
            if answer is None or late.is_set():
                status = self._end()
        if answer is None:
            raise _ChildGone(late.is_set(), status)
        return answer

    def _end(self) -> int | None:
        """End the child, if there is one; its exit status."""
        child, self._child, self._ready = self._child, None, False
        if child is None:
            return None
        child.kill()
        status = child.wait()
        for stream in (child.stdin, child.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:
                continue  # what was still to be sent belongs to a child that is gone
        return status


class _ChildGone(Exception):
    """The child ended instead of answering; `late`: it was killed at the deadline."""

    def __init__(self, late: bool, status: int | None) -> None:
        super().__init__(f"exit status {status}")
        self.late, self.status = late, status

    def named(self, seconds: float) -> tuple[str, str]:
        """(code, what happened)."""
        if self.late or self.status == _KILLED_FOR_CPU:
            return "template_timeout", f"it takes longer than {seconds:g} s"
        return "template_error", f"it ended the process that renders it (exit status {self.status})"


def _cannot_start(why: str) -> LocalFault:
    return LocalFault(
        f"The process that renders chat templates cannot be started: {why}",
        code="renderer_start",
        hint="Check that memory and processes are not exhausted, and the log for its last words.",
    )


def _fault(code: str, what: str) -> Refused:
    return Refused(f"The model's chat template cannot be rendered: {what}", code=code, hint=_HINT)
