"""Chat templates for files that carry none, chosen by the family's architecture and vocabulary.

Source: the prompt formats that the model families document. A file's own template always wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from swarmnode.inference.text.vocabulary import Vocabulary

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA2 = (
    "{% set system = namespace(text='') %}{% for m in messages %}"
    "{% if m.role == 'system' %}"
    "{% set system.text = '<<SYS>>\\n' + m.content + '\\n<</SYS>>\\n\\n' %}"
    "{% elif m.role == 'user' %}{{ bos_token }}[INST] {{ system.text }}{{ m.content }} [/INST]"
    "{% set system.text = '' %}"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
_LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
    "{{ m.content | trim }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_GEMMA = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
_PHI3 = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_MISTRAL = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% elif m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
_GLM4 = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
_DEEPSEEK = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content }}"
    "{% elif m.role == 'user' %}<\uff5cUser\uff5c>{{ m.content }}"
    "{% else %}<\uff5cAssistant\uff5c>{{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<\uff5cAssistant\uff5c>{% endif %}"
)
_COMMAND_R = (
    "{{ bos_token }}{% for m in messages %}<|START_OF_TURN_TOKEN|>"
    "<|{{ {'user': 'USER', 'assistant': 'CHATBOT', 'system': 'SYSTEM'}[m.role] }}_TOKEN|>"
    "{{ m.content | trim }}<|END_OF_TURN_TOKEN|>{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
)
_PLAIN = (
    "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)

FALLBACKS: Mapping[str, str] = {
    "chatml": _CHATML,
    "llama2": _LLAMA2,
    "llama3": _LLAMA3,
    "gemma": _GEMMA,
    "phi3": _PHI3,
    "zephyr": _ZEPHYR,
    "mistral": _MISTRAL,
    "glm4": _GLM4,
    "deepseek": _DEEPSEEK,
    "command-r": _COMMAND_R,
    "plain": _PLAIN,
}

_Test = Callable[[Vocabulary], bool]


def _token(text: str) -> _Test:
    return lambda vocabulary: text in vocabulary.by_text


def _architecture(*names: str) -> _Test:
    return lambda vocabulary: vocabulary.architecture in names


def _named(*words: str) -> _Test:
    return lambda vocabulary: any(word in vocabulary.name.lower() for word in words)


#: The first that holds decides: the tokens a model was taught say more than its architecture's name.
_RULES: tuple[tuple[str, _Test], ...] = (
    ("gemma", _architecture("gemma", "gemma2", "gemma3", "gemma3n")),
    ("gemma", _token("<start_of_turn>")),
    ("llama3", _token("<|start_header_id|>")),
    ("chatml", _token("<|im_start|>")),
    ("command-r", _token("<|START_OF_TURN_TOKEN|>")),
    ("deepseek", _token("<\uff5cUser\uff5c>")),
    ("glm4", _token("[gMASK]")),
    ("phi3", _architecture("phi3")),
    ("zephyr", _named("zephyr")),
    ("mistral", _token("[INST]")),
    ("mistral", _named("mistral", "mixtral")),
    ("chatml", _architecture("qwen", "qwen2", "qwen2moe", "qwen3", "qwen3moe")),
    ("deepseek", _architecture("deepseek2")),
    ("llama2", lambda vocabulary: vocabulary.architecture == "llama" and vocabulary.family == "spm"),
)


def fallback_name(vocabulary: Vocabulary) -> str:
    """Which of `FALLBACKS` fits; `plain` (the roles as words) where nothing is known."""
    return next((name for name, holds in _RULES if holds(vocabulary)), "plain")
