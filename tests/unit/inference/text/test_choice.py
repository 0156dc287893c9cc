"""One choice: decoder, stop strings and end tokens together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from swarmnode.inference.text.choice import ChoiceStep, ChoiceText
from swarmnode.inference.text.decoder import IncrementalDecoder

_PIECES = [b"<|im_end|>", b"Hel", b"lo", b" wor", b"ld", b"\xe4\xb8", b"\xad", b"\nUs", b"er:", b"\xe4"]


def _choice(*stops: str) -> ChoiceText:
    def decoder(*, after: int | None = None) -> IncrementalDecoder:
        return IncrementalDecoder(_PIECES.__getitem__, frozenset({0}))

    text_model: Any = SimpleNamespace(eos_ids=frozenset({0}), decoder=decoder)
    return ChoiceText(text_model, stops)


def _push(choice: ChoiceText, *ids: int) -> list[ChoiceStep]:
    return [choice.push(i) for i in ids]


def test_tokens_yield_their_text() -> None:
    assert _push(_choice(), 1, 2) == [ChoiceStep("Hel"), ChoiceStep("lo")]


def test_half_a_character_waits_for_the_next_token() -> None:
    assert _push(_choice(), 5, 6) == [ChoiceStep(""), ChoiceStep("\u4e2d")]


def test_an_end_token_ends_without_text() -> None:
    choice = _choice()
    assert _push(choice, 1, 0, 2) == [ChoiceStep("Hel"), ChoiceStep("", "stop"), ChoiceStep("", "stop")]
    assert choice.flush() == ""


def test_a_stop_across_tokens_ends_and_is_named() -> None:
    assert _push(_choice("\nUser:"), 1, 2, 7, 8) == [
        ChoiceStep("Hel"),
        ChoiceStep("lo"),
        ChoiceStep(""),
        ChoiceStep("", "stop", "\nUser:"),
    ]


def test_an_end_token_releases_what_was_held_back() -> None:
    assert _push(_choice("\nUser!"), 7, 0) == [ChoiceStep(""), ChoiceStep("\nUs", "stop")]


def test_the_end_by_length_releases_what_was_held_back() -> None:
    choice = _choice("world!")
    assert _push(choice, 3) == [ChoiceStep(" ")]
    assert choice.flush() == "wor"
    assert choice.flush() == ""


def test_a_character_that_never_came_is_replaced_at_the_end() -> None:
    choice = _choice()
    assert _push(choice, 1, 9) == [ChoiceStep("Hel"), ChoiceStep("")]
    assert choice.flush() == "\ufffd"


def test_a_stop_that_the_end_itself_completes_is_not_delivered() -> None:
    choice = _choice("\ufffd")
    assert _push(choice, 1, 9, 0)[-1] == ChoiceStep("", "stop", "\ufffd")
