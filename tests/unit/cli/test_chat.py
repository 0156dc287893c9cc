"""`swarmnode chat`: history, streaming, orders, stopping."""

from __future__ import annotations

import io
from collections.abc import Generator
from typing import Any

import pytest

from swarmnode.cli.chat import Conversation, converse
from swarmnode.values.errors import Unavailable


class Script:
    """Plays an answer a request; an exception in it is raised there."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.bodies: list[dict[str, Any]] = []
        self.closed = 0

    def __call__(self, body: dict[str, Any]) -> Generator[Any, None, None]:
        self.bodies.append({**body, "messages": [dict(message) for message in body["messages"]]})
        try:
            yield {"choices": [{"delta": {"role": "assistant"}}]}
            for part in self.answers.pop(0):
                if isinstance(part, BaseException):
                    raise part
                yield {"choices": [{"delta": {"content": part}}]}
            yield {"choices": [{"delta": {}, "finish_reason": "stop"}]}
            yield {"choices": [], "usage": {}}
        finally:
            self.closed += 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def turns(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in pairs]


def test_two_turns_with_history_and_system_prompt() -> None:
    script, out = Script(["Hel", "lo"], ["Fine"]), io.StringIO()
    talk = Conversation(script, out, model="m", system="Be brief", max_tokens=9, temperature=0.1)
    assert converse(talk, iter(["Hi", "How are you?"])) == 0
    assert out.getvalue() == "Hello\nFine\n"
    first, second = script.bodies
    assert first == {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.1,
        "stream": True,
        "messages": turns(("system", "Be brief"), ("user", "Hi")),
    }
    assert second["messages"] == turns(
        ("system", "Be brief"), ("user", "Hi"), ("assistant", "Hello"), ("user", "How are you?")
    )


def test_orders(capsys: pytest.CaptureFixture[str]) -> None:
    script, out = Script(["a"], ["b"]), io.StringIO()
    talk = Conversation(script, out, system="S")
    assert converse(talk, iter(["one", "", "  ", "/help", "/new", "two", "/exit", "three"])) == 0
    assert [body["messages"] for body in script.bodies] == [
        turns(("system", "S"), ("user", "one")),
        turns(("system", "S"), ("user", "two")),
    ]
    assert "/exit leaves" in capsys.readouterr().err


def test_a_stopped_answer_stays_as_far_as_it_was_read(capsys: pytest.CaptureFixture[str]) -> None:
    script, out = Script(["Once upon", KeyboardInterrupt()], ["again"]), io.StringIO()
    talk = Conversation(script, out)
    assert converse(talk, iter(["A story", "Go on"])) == 0
    assert script.closed == 2, "the connection of a stopped answer is closed"
    assert out.getvalue() == "Once upon\nagain\n"
    assert script.bodies[1]["messages"] == turns(
        ("user", "A story"), ("assistant", "Once upon"), ("user", "Go on")
    )
    assert "[stopped]" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fault", [Unavailable("Too much to do", code="queue_full", hint="Wait."), KeyboardInterrupt()]
)
def test_a_turn_without_an_answer_is_forgotten(
    fault: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    script, out = Script([fault], ["yes"]), io.StringIO()
    talk = Conversation(script, out)
    failures = converse(talk, iter(["one", "two"]))
    assert failures == (1 if isinstance(fault, Unavailable) else 0)
    assert out.getvalue() == "yes\n"
    assert script.bodies[1]["messages"] == turns(("user", "two"))
    if failures:
        assert capsys.readouterr().err == "swarmnode: Too much to do\n  Wait.\n"


def test_each_piece_is_shown_when_it_comes() -> None:
    seen: list[str] = []

    class Watched(io.StringIO):
        def flush(self) -> None:
            seen.append(self.getvalue())

    Conversation(Script(["a", "b"]), Watched()).ask("x")
    assert seen[:2] == ["a", "ab"]


def test_a_model_cannot_steer_the_terminal() -> None:
    answer = ["\x1b[2J", "\u009b31m", "ok\ttab\nline\x07é"]
    terminal, pipe = Terminal(), io.StringIO()
    Conversation(Script(list(answer)), terminal).ask("x")
    Conversation(Script(list(answer)), pipe).ask("x")
    assert terminal.getvalue() == "[2J31mok\ttab\nlineé\n"
    assert pipe.getvalue() == "".join(answer) + "\n", "a program gets what the model wrote"
