"""Incremental decoding equals decoding the whole, and never delivers half a character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.text.decoder import IncrementalDecoder


def _decoder(pieces: list[bytes], silent: frozenset[int] = frozenset(), **kw: bool) -> IncrementalDecoder:
    return IncrementalDecoder(pieces.__getitem__, silent, **kw)


@given(st.lists(st.binary(max_size=6), max_size=12))
def test_any_bytes_come_out_as_if_decoded_at_once(pieces: list[bytes]) -> None:
    decoder = _decoder(pieces)
    text = "".join([decoder.push(i) for i in range(len(pieces))]) + decoder.flush()
    assert text == b"".join(pieces).decode("utf-8", "replace")


@given(st.text(max_size=20), st.integers(1, 3))
def test_valid_text_never_shows_a_replacement_character(text: str, size: int) -> None:
    data = text.encode()
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    decoder = _decoder(pieces)
    assert "".join(decoder.push(i) for i in range(len(pieces))) == text
    assert decoder.flush() == ""


def test_a_character_is_held_until_its_last_byte() -> None:
    smile = "\N{SLIGHTLY SMILING FACE}"
    decoder = _decoder([smile.encode()[:2], smile.encode()[2:]])
    assert decoder.push(0) == ""
    assert decoder.push(1) == smile


def test_bytes_that_cannot_become_a_character_are_replaced_at_once() -> None:
    decoder = _decoder([b"\xf0\x9f", b"a"])
    assert decoder.push(0) == ""
    assert decoder.push(1) == "\ufffda"


def test_an_unfinished_character_is_replaced_at_the_end() -> None:
    decoder = _decoder([b"\xe4\xb8"])
    assert decoder.push(0) == ""
    assert decoder.flush() == "\ufffd"


def test_silent_tokens_yield_nothing() -> None:
    decoder = _decoder([b"a", b"<|im_end|>"], frozenset({1}))
    assert decoder.push(0) + decoder.push(1) == "a"


@pytest.mark.parametrize(("begins", "text"), [(False, " Once upon"), (True, "Once upon")])
def test_only_an_answer_after_a_special_token_may_lose_its_first_space(begins: bool, text: str) -> None:
    decoder = _decoder([b" Once", b" upon"], begins=begins)
    assert decoder.push(0) + decoder.push(1) == text
