"""`swarmnode chat`: talk to a model in the terminal, or from a pipe."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing
from typing import Any, TextIO
from urllib.parse import quote

from swarmnode.cli.arguments import add_place, add_verbosity, config_from, positive, temperature
from swarmnode.cli.client import NodeClient, client_for
from swarmnode.cli.output import say
from swarmnode.cli.silence import Stream, explained, why_silent
from swarmnode.values.errors import SwarmnodeError

PROMPT = "> "
HELP = "/exit leaves, /new forgets the conversation, Ctrl-C stops an answer."
MAX_LINE_CHARS = 4 << 20
#: Control characters, which a model must not send to a terminal; tab and line feed may pass.
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n"}


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `chat`."""
    add_place(parser)
    parser.add_argument("--model-name", "--model", metavar="NAME", default="auto", help="model to talk to")
    parser.add_argument("--system", metavar="TEXT", help="system prompt")
    parser.add_argument(
        "--max-tokens", metavar="N", type=positive, default=2048, help="longest answer (default: 2048)"
    )
    parser.add_argument(
        "--temperature", metavar="T", type=temperature, default=0.7, help="0 to 2 (default: 0.7)"
    )
    add_verbosity(parser)


def run(args: Namespace) -> int:
    """Chat until /exit or the end of the input. From a pipe: 1 when a request failed."""
    client = client_for(config_from(args))
    terminal = sys.stdin.isatty()
    model = _model_name(client, args.model_name)
    say(f"Talking to {model}. {HELP if terminal else ''}".rstrip())
    talk = Conversation(
        explained(
            lambda body: client.stream("/v1/chat/completions", body), lambda: why_silent(client, model), say
        ),
        sys.stdout,
        model=args.model_name,
        system=args.system,
        max_tokens=args.max_tokens,
        temperature=args.temperature,
    )
    failures = converse(talk, _typed() if terminal else _piped(sys.stdin))
    return 1 if failures and not terminal else 0


class Conversation:
    """The turns so far, and the way to the next one. Answers are written to `out` as they come."""

    def __init__(
        self,
        stream: Stream,
        out: TextIO,
        *,
        model: str = "auto",
        system: str | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.7,
    ) -> None:
        self._stream, self._out = stream, out
        self._request = {"model": model, "max_tokens": max_tokens, "temperature": temperature}
        self._opening = [{"role": "system", "content": system}] if system else []
        self._clean = out.isatty()
        self.messages: list[dict[str, str]] = list(self._opening)

    def start_over(self) -> None:
        """Forget everything but the system prompt."""
        self.messages = list(self._opening)

    def ask(self, text: str) -> bool:
        """Send a turn and write the answer; whether it came to its end.

        What was written of an answer that was stopped or failed stays in the history; a turn without
        any answer does not. Raises the `SwarmnodeError` that ended it.
        """
        self.messages.append({"role": "user", "content": text})
        answer: list[str] = []
        try:
            self._write_answer(answer)
        except KeyboardInterrupt:
            return False
        finally:
            self._out.write("\n" if answer else "")
            self._out.flush()
            if answer:
                self.messages.append({"role": "assistant", "content": "".join(answer)})
            else:
                self.messages.pop()
        return True

    def _write_answer(self, answer: list[str]) -> None:
        body = {**self._request, "messages": self.messages, "stream": True}
        with closing(self._stream(body)) as events:
            for event in events:
                for text in _deltas(event):
                    answer.append(text)
                    self._out.write(text.translate(_CONTROLS) if self._clean else text)
                    self._out.flush()


def converse(talk: Conversation, lines: Iterator[str]) -> int:
    """Send each line as a turn; `/` lines are orders. The number of turns that failed."""
    failures = 0
    for line in lines:
        order = line.strip()
        if order in ("/exit", "/quit"):
            break
        if order == "/new":
            talk.start_over()
            say("A new conversation.")
        elif order == "/help":
            say(HELP)
        elif order:
            failures += _turn(talk, line)
    return failures


def _turn(talk: Conversation, line: str) -> int:
    """Send one turn; 1 when it failed."""
    try:
        if not talk.ask(line):
            say("[stopped]")
    except SwarmnodeError as error:
        say(f"swarmnode: {error.message}")
        if error.hint:
            say(f"  {error.hint}")
        return 1
    return 0


def _deltas(event: Any) -> Iterator[str]:
    for choice in event.get("choices") or () if isinstance(event, dict) else ():
        content = (choice.get("delta") or {}).get("content")
        if content:
            yield content


def _model_name(client: NodeClient, name: str) -> str:
    """The model that a name or `auto` stands for. Raises a `SwarmnodeError` where there is no such model,
    or no node."""
    return str(client.fetch(f"/v1/models/{quote(name, safe='')}").get("id", name))


def _typed() -> Iterator[str]:
    """Lines typed at a prompt. Ctrl-C clears the line, Ctrl-D ends."""
    try:
        import readline  # noqa: F401 - gives `input` a history and line editing
    except ImportError:
        pass  # not on Windows; `input` works without
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            say("\n(/exit or Ctrl-D leaves)")


def _piped(stream: TextIO) -> Iterator[str]:
    """Lines of a pipe or file, without their ends; a byte that is no UTF-8 becomes a mark."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    while line := stream.readline(MAX_LINE_CHARS):
        yield line.rstrip("\r\n")
