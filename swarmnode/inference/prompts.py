"""From the prompt of a request to token ids."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.templates import ChatTemplate
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Conversation, GenerationRequest, Prompt, TokenIds


class PromptText:
    """A model's tokenizer and chat template. One thread at a time."""

    def __init__(self, model: TextModel, template: ChatTemplate) -> None:
        self.model, self._template = model, template

    @classmethod
    def load(cls, gguf: GgufFile) -> PromptText:
        """From the metadata of a GGUF. Raises `Refused` for tokenizers that are not supported."""
        model = TextModel.load(gguf)
        template = ChatTemplate.load(gguf, model)
        template.warm()
        return cls(model, template)

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """The request with its prompt as ids."""
        return replace(request, prompt=TokenIds(self.tokenize(request.prompt)))

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """The ids of any prompt; raises `Refused` for what cannot be rendered or tokenised."""
        if isinstance(prompt, TokenIds):
            return prompt.ids
        if isinstance(prompt, Conversation):
            now = time.strftime("%Y-%m-%dT%H:%M:%S")
            return tuple(self.model.encode_chat(self._template.render(prompt.messages, now=now)))
        return self._raw(prompt.text)

    def _raw(self, text: str) -> tuple[int, ...]:
        """BOS where the model wants it, and no EOS: the text is to be continued. Empty text is BOS alone,
        whether or not the model puts it before other texts."""
        model = self.model
        ids = model.encode(text, add_special=False, parse_special=True)
        bos = model.bos_id
        if bos is not None and (not ids or (model.add_bos and ids[0] != bos)):
            ids = [bos, *ids]
        if not ids:
            raise Refused(
                "The prompt is empty, and this model has no token that begins a text",
                code="empty_prompt",
                hint="Send some text.",
                param="prompt",
            )
        return tuple(ids)

    def detokenize(self, ids: Iterable[int]) -> str:
        """The text of ids as an answer would show it."""
        decoder = self.model.decoder()
        return "".join([*(decoder.push(token) for token in ids), decoder.flush()])

    def close(self) -> None:
        """Let go of the template's process."""
        self._template.close()
