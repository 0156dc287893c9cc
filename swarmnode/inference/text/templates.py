"""A model's chat template: from conversations to the text that the model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from swarmnode.inference.text.fallback_templates import FALLBACKS, fallback_name
from swarmnode.inference.text.model import TextModel
from swarmnode.inference.text.renderer import TemplateRenderer
from swarmnode.models.gguf import GgufFile
from swarmnode.values.errors import Refused
from swarmnode.values.generation import Message

MAX_TEMPLATE_BYTES = 1 << 20
_KEY = "tokenizer.chat_template"
_NEEDLE = "swarmnode-probe"
_SYSTEM_ROLES = ("system", "developer")

Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Habits:
    """What a template does, found by trying it. parts: it wants contents as lists of typed parts.
    no_tools: how it wants to be told that there are no tools. system: it shows the text of a system turn."""

    parts: bool = False
    no_tools: Mapping[str, Any] = field(default_factory=lambda: {"tools": None})
    system: bool = True


#: As transformers says it, then as templates made for tools alone want it; contents as text, then as parts.
_WAYS = (
    _Habits(),
    _Habits(no_tools={}),
    _Habits(parts=True),
    _Habits(parts=True, no_tools={}),
)


class ChatTemplate:
    """Renders conversations for one model. Thread-safe.

    source: the Jinja text. origin: `file`, the name of a named template (`file:tool_use`), or
    `fallback:NAME` where the file has none.
    """

    def __init__(
        self,
        source: str,
        origin: str,
        *,
        bos: str = "",
        eos: str = "",
        renderer: TemplateRenderer | None = None,
    ) -> None:
        if len(source.encode("utf-8", "surrogatepass")) > MAX_TEMPLATE_BYTES:
            raise Refused(
                f"The model's chat template is longer than {MAX_TEMPLATE_BYTES} bytes",
                code="template_error",
                hint="Use another file of the model.",
            )
        self.source, self.origin = source, origin
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self._renderer = renderer or TemplateRenderer()
        self._habits: _Habits | None = None

    @classmethod
    def load(
        cls, gguf: GgufFile, text_model: TextModel, renderer: TemplateRenderer | None = None
    ) -> ChatTemplate:
        """The file's default template, else its only named one, else the family's."""
        source, origin = _chosen(gguf, text_model)
        return cls(
            source,
            origin,
            bos=text_model.text_of(text_model.bos_id),
            eos=text_model.text_of(text_model.eos_id),
            renderer=renderer,
        )

    def warm(self) -> None:
        """Start the renderer's process now, so that the first conversation need not wait for it."""
        self._renderer.warm()

    def close(self) -> None:
        self._renderer.close()

    def render(
        self, messages: tuple[Message, ...], *, now: str, variables: Mapping[str, Any] | None = None
    ) -> str:
        """The prompt's text, ready for the assistant's answer.

        now: the local time in ISO 8601, for templates that state the date. variables: more names for
        the template (`enable_thinking`, ...).

        A template that refuses or drops system turns gets their text at the head of the next user turn,
        parted by an empty line; turns of one role in a row are joined where it wants them to alternate.
        Raises `Refused`: `template_error`, `template_refusal`, `template_timeout`, `template_memory`,
        `template_output`.
        """
        habits = self._found_habits(now)
        turns = self._turns(messages)
        if not habits.system:
            turns = folded(turns)
        try:
            return self._render(turns, now, habits, variables)
        except Refused as error:
            plainer = joined(folded(turns))
            if error.code != "template_refusal" or plainer == turns:
                raise
            return self._render(plainer, now, habits, variables)

    def _turns(self, messages: Iterable[Message]) -> list[Turn]:
        turns: list[Turn] = []
        for message in messages:
            known = message.role != "developer" or "developer" in self.source
            turn: Turn = {"role": message.role if known else "system", "content": message.content}
            if message.name is not None:
                turn["name"] = message.name
            turns.append(turn)
        return turns

    def _render(
        self, turns: list[Turn], now: str, habits: _Habits, variables: Mapping[str, Any] | None = None
    ) -> str:
        if habits.parts:
            turns = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in turns]
        names = {
            "messages": turns,
            "documents": None,
            "add_generation_prompt": True,
            **habits.no_tools,
            **self._tokens,
            **(variables or {}),
        }
        return self._renderer.render(self.source, names, now=now)

    def _found_habits(self, now: str) -> _Habits:
        if self._habits is None:
            user = [{"role": "user", "content": _NEEDLE}]
            way = next((way for way in _WAYS if self._shows(user, now, way)), _WAYS[0])
            system = [{"role": "system", "content": _NEEDLE}, {"role": "user", "content": "-"}]
            self._habits = replace(way, system=self._shows(system, now, way))
        return self._habits

    def _shows(self, turns: list[Turn], now: str, habits: _Habits) -> bool:
        try:
            return _NEEDLE in self._render(turns, now, habits)
        except Refused as error:
            if error.code in ("template_refusal", "template_error"):
                return False
            raise


def folded(turns: list[Turn]) -> list[Turn]:
    """The turns without system turns: their text heads the next user turn, or is one at the end."""
    result: list[Turn] = []
    waiting: list[str] = []
    for turn in turns:
        if turn["role"] in _SYSTEM_ROLES:
            waiting.append(turn["content"])
        elif turn["role"] == "user" and waiting:
            result.append({**turn, "content": "\n\n".join([*waiting, turn["content"]])})
            waiting = []
        else:
            result.append(turn)
    if waiting:
        result.append({"role": "user", "content": "\n\n".join(waiting)})
    return result


def joined(turns: list[Turn]) -> list[Turn]:
    """The turns with those of one role in a row made one, parted by an empty line."""
    result: list[Turn] = []
    for turn in turns:
        if result and result[-1]["role"] == turn["role"]:
            result[-1] = {**result[-1], "content": f"{result[-1]['content']}\n\n{turn['content']}"}
        else:
            result.append(turn)
    return result


def _chosen(gguf: GgufFile, text_model: TextModel) -> tuple[str, str]:
    metadata = gguf.metadata
    source = metadata.get(_KEY)
    if isinstance(source, str) and source:
        return source, "file"
    for key in sorted(key for key in metadata if key.startswith(f"{_KEY}.")):
        named = metadata[key]
        if isinstance(named, str) and named:
            return named, f"file:{key.removeprefix(_KEY + '.')}"
    name = fallback_name(text_model.vocabulary)
    return FALLBACKS[name], f"fallback:{name}"
