"""Prompts become ids: raw text, conversations, empty ones, and the models that cannot."""

from __future__ import annotations

from typing import Any

import pytest

from swarmnode.inference.prompts import PromptText
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Conversation, GenerationRequest, Message, RawText, TokenIds

BOS = 1


class Model:
    """A token a letter."""

    def __init__(self, bos: int | None, add_bos: bool) -> None:
        self.bos_id, self.add_bos = bos, add_bos

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        assert not add_special and parse_special
        return [BOS if letter == "^" else ord(letter) for letter in text]

    def encode_chat(self, rendered: str) -> list[int]:
        return [7, *map(ord, rendered)]

    def decoder(self) -> Any:
        class Decoder:
            def push(self, token: int) -> str:
                return "" if token == BOS else chr(token)

            def flush(self) -> str:
                return "."

        return Decoder()


class Template:
    closed = False

    def render(self, messages: tuple[Message, ...], *, now: str) -> str:
        assert len(now) == len("2026-01-01T00:00:00")
        return "|".join(message.content for message in messages)

    def close(self) -> None:
        self.closed = True


def text(bos: int | None = BOS, add_bos: bool = True) -> PromptText:
    return PromptText(Model(bos, add_bos), Template())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("bos", "add_bos", "prompt", "ids"),
    [
        (BOS, True, "a", (BOS, 97)),
        (BOS, True, "^a", (BOS, 97)),
        (BOS, True, "", (BOS,)),
        (BOS, False, "a", (97,)),
        (BOS, False, "", (BOS,)),
        (None, False, "a", (97,)),
    ],
)
def test_raw_text_begins_as_the_model_wants(bos: int | None, add_bos: bool, prompt: str, ids: tuple) -> None:
    assert text(bos, add_bos).tokenize(RawText(prompt)) == ids


def test_an_empty_prompt_for_a_model_without_a_beginning_is_refused() -> None:
    with pytest.raises(Refused, match="no token that begins") as caught:
        text(None, False).tokenize(RawText(""))
    assert caught.value.code == "empty_prompt"


def test_conversations_go_through_the_template_and_ids_stay_as_they_are() -> None:
    turns = Conversation((Message("user", "a"), Message("assistant", "b")))
    assert text().tokenize(turns) == (7, 97, 124, 98)
    assert text().tokenize(TokenIds((5, 6))) == (5, 6)
    request = GenerationRequest("r", "m", turns, max_tokens=3)
    prepared = text().prepare(request)
    assert prepared.prompt == TokenIds((7, 97, 124, 98)) and prepared.max_tokens == 3


def test_ids_become_text_and_the_template_is_let_go() -> None:
    words = text()
    assert words.detokenize((BOS, 97, 98)) == "ab."
    words.close()
    assert words._template.closed  # type: ignore[attr-defined]
