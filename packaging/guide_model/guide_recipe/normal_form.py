"""What the model sees of a question. The chat template in the GGUF does the same, so that capitals and
question marks need no training."""

from __future__ import annotations

IM_START, IM_END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"

#: What the template takes out of a question, and what it puts there.
REPLACED = (("?", ""), ("!", ""), (",", ""), ('"', ""), ("'", ""), ("’", ""), ("\n", " "))

_LAST = "{%- set seen = namespace(last='') -%}{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set seen.last = m.content -%}{%- endif -%}{%- endfor -%}"


def normalise(question: str) -> str:
    """The question as the model reads it: small letters, no quotes, marks and commas."""
    text = question.strip().lower()
    for old, new in REPLACED:
        text = text.replace(old, new)
    return text.strip()


def prompt(question: str) -> str:
    """The text before the answer, as the chat template renders it."""
    return f"{IM_START}user\n{normalise(question)}{IM_END}\n{IM_START}assistant\n"


def chat_template() -> str:
    """The jinja template of the GGUF. It shows the model the last message of the user and no other."""
    replaced = "".join(f"|replace({_quoted(old)}, {_quoted(new)})" for old, new in REPLACED)
    # The header of the answer is written whether it is asked for or not: without it there is no answer.
    return (
        f"{_LAST}{{{{ '{IM_START}user\\n' + (seen.last|trim|lower{replaced}|trim) + '{IM_END}\\n' }}}}"
        f"{{%- if add_generation_prompt -%}}{{{{ '{IM_START}assistant\\n' }}}}{{%- endif -%}}"
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\n", "\\n") + '"' if '"' not in text else f"'{text}'"
