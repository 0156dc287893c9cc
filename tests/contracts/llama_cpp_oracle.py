"""llama.cpp, as a program: `python llama_cpp_oracle.py MODEL [TEMPLATE] < requests > answers`.

One JSON list in, one out. A request is `{"content", "add_special", "parse_special"}`, answered with ids,
or `{"messages", ...}`, answered with the rendered prompt. It runs in a process of its own because it
ends the process on vocabularies that it does not like.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from typing import Any

import xllamacpp


def serve(model: str, template: str | None) -> xllamacpp.Server:
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.warmup, params.verbosity, params.port = 256, 1, False, -1, 0
    params.cpuparams.n_threads = params.n_threads_http = 1
    if template is not None:
        params.use_jinja = True
        with open(template, encoding="utf-8") as file:
            params.chat_template = file.read()
    return xllamacpp.Server(params)


def ask(address: str, request: dict[str, Any]) -> Any:
    path, key = ("/apply-template", "prompt") if "messages" in request else ("/tokenize", "tokens")
    headers = {"Content-Type": "application/json"}
    with urllib.request.urlopen(
        urllib.request.Request(address + path, json.dumps(request).encode(), headers)
    ) as answer:
        return json.load(answer)[key]


def main() -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr
    server = serve(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    json.dump([ask(server.listening_address, request) for request in json.load(sys.stdin)], answers)
    answers.flush()


if __name__ == "__main__":
    main()
