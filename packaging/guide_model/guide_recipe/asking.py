"""Asking a guide model, greedily and through its chat template: by llama.cpp, or by this project's stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

MAX_ANSWER_TOKENS = 160
CONTEXT = 512
Ask = Callable[[str], str]


def llama_cpp(path: Path) -> Ask:
    """Asks llama.cpp, one question a conversation."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel = CONTEXT, 1
    params.cpuparams.n_threads = 1
    params.verbosity = -1
    server = xllamacpp.Server(params)

    def ask(question: str) -> str:
        messages = [{"role": "user", "content": question}]
        body = {"messages": messages, "temperature": 0, "max_tokens": MAX_ANSWER_TOKENS}
        reply = server.handle_chat_completions(body)
        reply = json.loads(reply) if isinstance(reply, str) else reply
        return str(reply["choices"][0]["message"]["content"])

    return ask


def swarmnode(path: Path) -> Ask:
    """Asks the numpy stage of this project, with its own tokenizer and template renderer."""
    import numpy as np

    from swarmnode.inference.stage.numpy_stage import load_stage
    from swarmnode.inference.stage.seam import Batch, Slice
    from swarmnode.inference.text.model import TextModel
    from swarmnode.inference.text.templates import ChatTemplate
    from swarmnode.models.gguf import GgufFile
    from swarmnode.values.generation import Message

    gguf = GgufFile(path)
    text = TextModel.load(gguf)
    template = ChatTemplate.load(gguf, text)
    stage = load_stage(gguf, max_dequantised_bytes=64 << 20)

    def ask(question: str) -> str:
        rendered = template.render((Message("user", question),), now="2026-11-20T12:00:00")
        tokens, position, answer = text.encode_chat(rendered), 0, b""
        stage.open(0, CONTEXT)
        try:
            for _ in range(MAX_ANSWER_TOKENS):
                rows = np.array(tokens, np.int32)
                logits = stage.step(Batch((Slice(0, position, len(rows)),), rows)).logits
                position += len(rows)
                token = int(logits[0].argmax())
                if token in text.eos_ids:
                    break
                answer, tokens = answer + text.piece(token), [token]
        finally:
            stage.close(0)
        return answer.decode("utf-8", "replace")

    return ask


ENGINES: dict[str, Callable[[Path], Ask]] = {"llama.cpp": llama_cpp, "swarmnode": swarmnode}
