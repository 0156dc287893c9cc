"""A model's text: encoding to token ids, the bytes of ids, and decoding as they come."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator

from tokenizers import Tokenizer

from swarmnode.inference.text.decoder import IncrementalDecoder
from swarmnode.inference.text.encoders import SPACE, build_tokenizer, special_texts, user_texts
from swarmnode.inference.text.pieces import Pieces
from swarmnode.inference.text.vocabulary import Vocabulary, read_vocabulary
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused

MAX_TEXT_BYTES = 16 << 20
#: Characters encoded at a time where text can be cut; bounds the memory of long prompts.
CHUNK_CHARS = 1 << 16

_BEFORE_SPACE = r"(?<=[A-Za-z])(?= [A-Za-z])"
_AFTER_NEWLINE = r"(?<=[A-Za-z]\n)(?=[A-Za-z])"
_CUTS = {
    "words": f"{_BEFORE_SPACE}|{_AFTER_NEWLINE}",
    "space": _BEFORE_SPACE,
    "newline": _AFTER_NEWLINE,
    "digits": r"(?<=[A-Za-z ])(?=[0-9])",
    "line": r"(?<=\n)(?=[^\n])",
}


class TextModel:
    """The text side of one model file. `encode` may be called from any thread."""

    def __init__(self, vocabulary: Vocabulary, tokenizer: Tokenizer) -> None:
        self.special_ids = vocabulary.control_ids()
        self.vocabulary = vocabulary.without_rules()
        self._tokenizer = tokenizer
        self._pieces = Pieces(self.vocabulary)
        self._lock = threading.Lock()
        self._cut: re.Pattern[str] | None = None
        self._cut_known = False

    @classmethod
    def load(cls, gguf: GgufFile) -> TextModel:
        """The text model of a GGUF, from its metadata alone. Raises `Refused` for what is not supported:
        `tokenizer_unsupported`, `unknown_pre_tokenizer`, `bad_vocabulary`, `bad_model_file`."""
        vocabulary = read_vocabulary(gguf)
        return cls(vocabulary, build_tokenizer(vocabulary))

    @property
    def vocab_size(self) -> int:
        return len(self.vocabulary.tokens)

    @property
    def bos_id(self) -> int | None:
        return self.vocabulary.ids.get("bos")

    @property
    def eos_id(self) -> int | None:
        """The end token that the file names; `eos_ids` holds all that end an answer."""
        return self.vocabulary.ids.get("eos")

    @property
    def eos_ids(self) -> frozenset[int]:
        return self.vocabulary.end_ids

    @property
    def add_bos(self) -> bool:
        return self.vocabulary.add_bos

    @property
    def add_eos(self) -> bool:
        return self.vocabulary.add_eos

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the file left out and had to be guessed, in plain words."""
        return self.vocabulary.warnings

    def piece(self, token_id: int) -> bytes:
        """The bytes of a token; of a special token its name. Raises `Refused` out of range."""
        return self._pieces.piece(token_id)

    def text_of(self, token_id: int | None) -> str:
        """A special token as templates write it; empty for None."""
        return "" if token_id is None else self.piece(token_id).decode("utf-8", "replace")

    def decoder(self, *, after: int | None = None, specials: bool = False) -> IncrementalDecoder:
        """A decoder of one answer; see `IncrementalDecoder`. `after`: the prompt's last token."""
        begins = self.vocabulary.space_prefix and after is not None and after in self.special_ids
        return IncrementalDecoder(self.piece, frozenset() if specials else self.special_ids, begins=begins)

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        """Token ids of a text.

        add_special: with the BOS and EOS that the model wants. parse_special: special tokens written in
        the text are read as such; else they are text like any other. Raises `Refused` (`invalid_text`,
        `text_too_long`).
        """
        _check(text)
        ids = self._encode(text, parse_special) if text else []
        if not add_special:
            return ids
        named = self.vocabulary.ids
        if self.vocabulary.family == "wpm":
            return [named["bos"], *ids, named["seperator"]]
        return ([named["bos"]] if self.add_bos else []) + ids + ([named["eos"]] if self.add_eos else [])

    def encode_chat(self, rendered: str) -> list[int]:
        """Token ids of a rendered chat template: special tokens are read, no EOS is added, and BOS comes
        once, whether the template writes it, the tokenizer adds it, or both do."""
        _check(rendered)
        ids = self._encode(rendered, True) if rendered else []
        bos = self.vocabulary.ids.get("bos")
        return [bos, *ids] if bos is not None and self.add_bos and ids[:1] != [bos] else ids

    def _encode(self, text: str, parse_special: bool) -> list[int]:
        with self._lock:
            self._tokenizer.encode_special_tokens = not parse_special
            ids: list[int] = []
            for chunk in self._chunks(text):
                ids += self._encode_chunk(chunk)
            return ids

    def _encode_chunk(self, text: str) -> list[int]:
        try:
            return self._tokenizer.encode(text, add_special_tokens=False).ids
        except BaseException as error:
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            # The regular expression engine gives up on some hostile texts, as a Rust panic.
            raise Refused(
                f"A text of {len(text)} characters cannot be cut into tokens: {error}",
                code="invalid_text",
                hint="Send a shorter text, or one with fewer repeated characters.",
            ) from None

    def _chunks(self, text: str) -> Iterator[str]:
        """The text in parts that encode to the same ids as the whole."""
        start, cut = 0, self._cut_pattern() if len(text) > CHUNK_CHARS else None
        spaced = self.vocabulary.family == "spm" and self.vocabulary.space_prefix
        while cut is not None and len(text) - start > CHUNK_CHARS:
            place = cut.search(text, start + CHUNK_CHARS)
            if place is None:
                break
            yield text[start : place.start()]
            # The tokenizer puts a space before what it is given; the part begins with that space.
            start = place.start() + spaced
        yield text[start:]

    def _cut_pattern(self) -> re.Pattern[str] | None:
        if not self._cut_known:
            self._cut, self._cut_known = _cut_pattern(self.vocabulary), True
        return self._cut


def _cut_pattern(vocabulary: Vocabulary) -> re.Pattern[str] | None:
    """Where text of this vocabulary may be cut, or None for nowhere."""
    pre = vocabulary.pre
    words_apart = not re.search(f"[A-Za-z]{SPACE}", "\n".join(vocabulary.tokens))
    if vocabulary.family == "wpm":
        pattern = _CUTS["words"]
    elif pre is None or pre.raw_utf8:
        places = ["line"] if pre is not None else []
        places += ["space"] if words_apart and not (pre is not None and pre.metaspace) else []
        pattern = "|".join(_CUTS[place] for place in places)
    else:
        pattern = _CUTS[pre.cut]
    cut = re.compile(pattern) if pattern else None
    named = (special_texts(vocabulary) | user_texts(vocabulary)).values()
    return None if cut is None or any(cut.search(text) for text in named) else cut


def _check(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise Refused(
            f"The text holds half a character (a lone surrogate, U+{ord(text[error.start]):04X}) "
            f"at position {error.start}",
            code="invalid_text",
            hint="Send valid Unicode: characters beyond U+FFFF as one character or a full surrogate pair.",
        ) from None
    if size > MAX_TEXT_BYTES:
        raise Refused(
            f"The text has {size} bytes; at most {MAX_TEXT_BYTES} can be encoded at once",
            code="text_too_long",
            hint="Send a shorter text.",
        )
