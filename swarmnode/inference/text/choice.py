"""The text of one choice: tokens in, text out, until a stop string or an end token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.stops import StopMatcher


@dataclass(frozen=True, slots=True)
class ChoiceStep:
    """What one token brought.

    text: may be delivered now; often empty. reason: `stop` when the choice is complete, by the stop
    string in `stop` or, where that is None, by an end token.
    """

    text: str = ""
    reason: Literal["stop"] | None = None
    stop: str | None = None


class ChoiceText:
    """Decoder, stop strings and end tokens of one choice. `after`: the prompt's last token, if the space
    that SentencePiece puts at the beginning of an answer is to be dropped (see `IncrementalDecoder`)."""

    def __init__(
        self, text_model: TextModel, stops: tuple[str, ...] = (), *, after: int | None = None
    ) -> None:
        self._decoder = text_model.decoder(after=after)
        self._ends = text_model.eos_ids
        self._stops = StopMatcher(stops)
        self._finished: ChoiceStep | None = None

    def push(self, token_id: int) -> ChoiceStep:
        """Take a token. An end token yields what was held back, and no text of its own. After the end
        every step repeats the reason without text."""
        if self._finished is not None:
            return self._finished
        if token_id in self._ends:
            return self._finish(self._rest(), self._stops.matched)
        text, stop = self._stops.push(self._decoder.push(token_id))
        return ChoiceStep(text) if stop is None else self._finish(text, stop)

    def flush(self) -> str:
        """The rest of the text where the choice ends otherwise: at its length, or cancelled."""
        if self._finished is not None:
            return ""
        return self._finish(self._rest(), self._stops.matched).text

    def _rest(self) -> str:
        text, stop = self._stops.push(self._decoder.flush())
        return text if stop is not None else text + self._stops.flush()

    def _finish(self, text: str, stop: str | None) -> ChoiceStep:
        self._finished = ChoiceStep("", "stop", stop)
        return ChoiceStep(text, "stop", stop)
