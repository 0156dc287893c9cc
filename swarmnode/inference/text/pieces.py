"""The bytes that each token stands for.

Source: GPT-2's `bytes_to_unicode` (each byte written as one printable letter); SentencePiece's byte
tokens `<0xNN>` and U+2581 for a space; llama.cpp's `token_to_piece` for which kind is spelled how.
"""

from __future__ import annotations

import re

from swarmnode.inference.text.vocabulary import BYTE, NORMAL, UNUSED, Vocabulary
from swarmnode.values.errors import Refused

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_letters() -> dict[str, int]:
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in printable]
    return letters | {chr(256 + place): byte for place, byte in enumerate(others)}


#: GPT-2's letter -> the byte it stands for.
BYTE_LETTERS = _byte_letters()


class Pieces:
    """Token id -> bytes, worked out when first asked for."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._known: dict[int, bytes] = {}
        pre = vocabulary.pre
        self._byte_letters = pre is not None and not pre.raw_utf8

    def piece(self, token_id: int) -> bytes:
        """The token's bytes; a special token's are its name. Raises `Refused` (`bad_token_ids`)."""
        found = self._known.get(token_id)
        if found is None:
            if not 0 <= token_id < len(self._vocabulary.tokens):
                raise Refused(
                    f"Token {token_id} is not in the vocabulary of {len(self._vocabulary.tokens)} tokens",
                    code="bad_token_ids",
                    hint="Use ids of this model's own tokenizer.",
                )
            found = self._known[token_id] = self._spell(token_id)
        return found

    def _spell(self, token_id: int) -> bytes:
        text, kind = self._vocabulary.tokens[token_id], self._vocabulary.kinds[token_id]
        if kind == UNUSED:
            return b""
        if kind == BYTE and (named := _BYTE_TOKEN.fullmatch(text)):
            return bytes((int(named[1], 16),))
        if kind == NORMAL and token_id not in self._vocabulary.end_ids:
            if self._byte_letters:
                return b"".join(
                    bytes((BYTE_LETTERS[letter],)) if letter in BYTE_LETTERS else _utf8(letter)
                    for letter in text
                )
            text = text.replace("\u2581", " ")
        return _utf8(text)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
