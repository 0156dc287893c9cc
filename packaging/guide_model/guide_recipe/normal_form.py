"""What the model sees of a conversation: the last thing that the user said, in small letters.

The chat template in the GGUF does it, so that capitals, question marks, earlier turns and system
prompts need no training. Only the last paragraph counts: programs that cannot pass on a system prompt
put it before the user's words, parted by an empty line.
"""

from __future__ import annotations

IM_START, IM_END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

#: What is taken out of a question, and what comes in its place.
REPLACED = (("?", ""), ("!", ""), (",", ""), ('"', ""), ("'", ""), ("’", ""), ("\n", " "), ("  ", " "))

_LAST = (
    "{%- set seen = namespace(last='') -%}"
    "{%- for message in messages -%}"
    "{%- if message.role == 'user' -%}{%- set seen.last = message.content -%}{%- endif -%}"
    "{%- endfor -%}"
    "{%- set asked = (seen.last|trim).split('\\n\\n') -%}"
)


def normalise(question: str) -> str:
    """The question as the model reads it."""
    text = question.strip().split("\n\n")[-1].lower()
    for old, new in REPLACED:
        text = text.replace(old, new)
    return text.strip()


def prompt(question: str) -> str:
    """The text before the answer, as the chat template renders it."""
    return f"{IM_START}user\n{normalise(question)}{IM_END}\n{IM_START}assistant\n"


def chat_template() -> str:
    """The Jinja template of the GGUF."""
    replaced = "".join(f"|replace({_quoted(old)}, {_quoted(new)})" for old, new in REPLACED)
    return (
        f"{_LAST}{{{{ '{IM_START}user\\n' + (asked[-1]|lower{replaced}|trim) + '{IM_END}\\n' }}}}"
        f"{{%- if add_generation_prompt -%}}{{{{ '{IM_START}assistant\\n' }}}}{{%- endif -%}}"
    )


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else '"' + text.replace("\n", "\\n") + '"'
