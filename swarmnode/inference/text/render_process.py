"""The child process that renders chat templates: `python -m swarmnode.inference.text.render_process`.

A template is a program that came with a model, so it runs where it can do no harm: in Jinja's
sandbox, in a process of its own with bounded memory, which its parent kills when it takes too long.
Only jinja2, the standard library and the framing are imported here.

First this process says `{"ready": true}`. A request is `{"template", "now", "variables"}`; its answer
`{"text"}` or `{"error", "code"}`. It ends when its input does.

The environment is the one of transformers' `apply_chat_template` (blocks trimmed, loop controls,
`raise_exception`, `strftime_now`, `tojson` without HTML escapes and with keys in order, `{% generation %}`).
"""

from __future__ import annotations

import ctypes
import json
import signal
import sys
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

from swarmnode.inference.text.render_frames import read_frame, write_frame

try:
    import resource
except ImportError:  # Windows: the parent's deadline and the output's bound remain
    resource = None  # type: ignore[assignment]

MAX_OUTPUT_BYTES = 8 << 20
MEMORY_BYTES = 256 << 20
CPU_SECONDS = 2
CACHED_TEMPLATES = 8

_PR_SET_PDEATHSIG = 1


class TemplateRefusal(Exception):
    """The template itself refuses the conversation, by `raise_exception`."""


class OutputTooLong(Exception):
    """The rendered text is longer than `MAX_OUTPUT_BYTES`."""


class GenerationTag(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}` marks what the assistant said; it is rendered as it stands."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: object) -> None:
    raise TemplateRefusal(str(message))


def _environment() -> jinja2.sandbox.ImmutableSandboxedEnvironment:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    return environment


_ENVIRONMENT = _environment()
_compiled = lru_cache(CACHED_TEMPLATES)(_ENVIRONMENT.from_string)


def render(template: str, now: str, variables: dict[str, Any]) -> str:
    """The rendered text. `now` is an ISO 8601 time, for `strftime_now`."""
    moment = datetime.fromisoformat(now)
    parts: list[str] = []
    size = 0
    for part in _compiled(template).generate(strftime_now=moment.strftime, **variables):
        size += len(part.encode("utf-8", "surrogatepass"))
        if size > MAX_OUTPUT_BYTES:
            raise OutputTooLong(f"its output is longer than {MAX_OUTPUT_BYTES} bytes")
        parts.append(part)
    return "".join(parts)


def answer(request: dict[str, Any], render: Callable[..., str] = render) -> dict[str, str]:
    """A request's answer; every fault of a template is one."""
    try:
        return {"text": render(request["template"], request["now"], request["variables"])}
    except MemoryError:
        return {"code": "template_memory", "error": f"it needs more than {MEMORY_BYTES >> 20} MB of memory"}
    except OutputTooLong as error:
        return {"code": "template_output", "error": str(error)}
    except TemplateRefusal as error:
        return {"code": "template_refusal", "error": str(error)[:1000]}
    except Exception as error:
        return {"code": "template_error", "error": _described(error)}


def _described(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    where = f" (line {line})" if isinstance(line, int) else ""
    return f"{type(error).__name__}: {str(error)[:1000]}{where}"


def _bound_memory() -> None:
    """From here on this process may take `MEMORY_BYTES` more address space than it has now."""
    try:
        with open("/proc/self/statm") as statm:
            pages = int(statm.read().split()[0])
    except OSError:
        return  # no Linux: the deadline and the output's bound remain
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _bound_cpu() -> None:
    """A second net under the parent's deadline: this render may take a few seconds of processor time."""
    if resource is None:
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.RLIM_INFINITY))


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def main() -> None:
    """Serve until the input ends."""
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing but frames goes to the parent
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the input's end ends us
    _end_with_parent()
    _bound_memory()
    write_frame(sink, {"ready": True})
    while (request := read_frame(source)) is not None:
        _bound_cpu()
        write_frame(sink, answer(request))


if __name__ == "__main__":
    main()
