"""Token ids to text, one at a time: a character comes when its last byte has come."""

from __future__ import annotations

import codecs
from collections.abc import Callable

_UTF8 = codecs.getincrementaldecoder("utf-8")


class IncrementalDecoder:
    """The text of one answer.

    A character that spans tokens is held back until it is whole; bytes that cannot become a character
    are U+FFFD (Unicode 3.9, "maximal subparts"). Tokens in `silent` yield nothing.

    The text is the tokens' bytes, nothing added: as llama.cpp does, the space that a SentencePiece word
    begins with is kept at the beginning of an answer too. `begins` drops it there: right after a special
    token it is only the tokenizer's own mark.
    """

    def __init__(
        self, piece: Callable[[int], bytes], silent: frozenset[int], *, begins: bool = False
    ) -> None:
        self._piece, self._silent, self._begins = piece, silent, begins
        self._utf8 = _UTF8("replace")

    def push(self, token_id: int) -> str:
        """The text that this token completes, often empty."""
        if token_id in self._silent:
            return ""
        piece = self._piece(token_id)
        if self._begins and piece:
            piece, self._begins = piece.removeprefix(b" "), False
        return self._utf8.decode(piece)

    def flush(self) -> str:
        """The end: what was held back and can no longer be completed, as U+FFFD."""
        return self._utf8.decode(b"", final=True)
