"""A stand-in for a node, for working on the page: the page's files with its headers, and answers to speak.

`python tests/browser/fake_node.py --port 8899` serves it; `--no-nonce` serves the page as another computer
would get it. Only what the page asks for is here; the real routes are in `swarmnode.api`.
"""

from __future__ import annotations

import argparse
import json
import mimetypes
import secrets
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from fake_network import PEER_ID, FakeNetwork

PAGE = Path(__file__).resolve().parents[2] / "web_ui"
CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; "
    "img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
MODELS = [
    {"id": "guide", "object": "model", "created": 1, "owned_by": "builtin", "context_length": 1024},
    {"id": "qwen3-4b-instruct-q4-k-m", "object": "model", "created": 2, "owned_by": "local"},
]
PAUSE_SECONDS = 0.02

GUIDE_ANSWER = (
    "swarmnode is a program that runs language models on your own computer and answers over an OpenAI API. "
    "Start it with `swarmnode run`; it listens on port **8800**."
)
API_ANSWER = """Use any OpenAI client and point it at this node:

```python
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8800/v1", api_key=key)
```

The key lies in the file `api_key` in the data directory."""
LONG_ANSWER = """A node is **one program** with several faces. This is how a question travels through it.

### The way of a question

1. The page sends the conversation to `POST /v1/chat/completions`.
2. The node finds the model and hands the request to its *worker*:
   - it renders the chat template,
   - it turns the text into tokens,
   - it reserves room for keys and values.
3. Every token comes back as one event of the stream.

The same from Python, with the official client:

```python
from openai import OpenAI

client = OpenAI(base_url="http://127.0.0.1:8800/v1", api_key=open("api_key").read().strip())
stream = client.chat.completions.create(model="auto", messages=messages, stream=True, max_tokens=500)
for chunk in stream:
    print(chunk.choices[0].delta.content or "", end="", flush=True)
```

| What | Where | Default |
|---|---|---|
| HTTP and this page | TCP `port` | 8800 |
| Other nodes | TCP `port + 10` | 8810 |

> A slow reader pauses its own stream only.

More is in the [documentation](https://example.org/docs). Ask away.
"""
NAMES = [str(model["id"]) for model in MODELS]


def answer_to(request: dict[str, Any]) -> str:
    """What this node says to a chat request."""
    if request["model"] != NAMES[0]:
        return LONG_ANSWER
    return API_ANSWER if "API" in request["messages"][-1]["content"] else GUIDE_ANSWER


def pieces(text: str) -> list[str]:
    """The text in pieces about as long as tokens."""
    return [text[at : at + 4] for at in range(0, len(text), 4)]


def chunks(model: str, text: str) -> Iterator[dict[str, Any]]:
    """The chunks of a streamed chat completion."""
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}
    for at, piece in enumerate(pieces(text)):
        delta = {"content": piece} if at else {"role": "assistant", "content": piece}
        yield {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    count = len(pieces(text))
    usage = {"prompt_tokens": 20, "completion_tokens": count, "total_tokens": count + 20}
    yield {**base, "choices": [], "usage": usage}


class FakeNode(ThreadingHTTPServer):
    """The server, with the facts that the handlers share."""

    daemon_threads = True

    def __init__(self, port: int, *, nonce: bool = True, api_key: str = "") -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.gives_nonce = nonce
        self.api_key = api_key or secrets.token_hex(32)
        self.nonces: set[str] = set()
        self.active = 0
        self.began = time.monotonic()
        self.network = FakeNetwork()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is nothing to report."""

    def status(self) -> dict[str, Any]:
        """What `GET /v1/status` answers."""
        return {
            "node_id": PEER_ID,
            "peer_id": PEER_ID,
            "addresses": self.network.addresses(),
            "version": "0.1.0",
            "uptime_seconds": time.monotonic() - self.began + 11520,
            "ready": True,
            "active_requests": self.active,
            "peers": sum(peer["connected"] for peer in self.network.peers()),
            "models": list(NAMES),
            "unusable_models": {},
            "loaded_models": [{"id": "guide", "state": "ready", "resident_bytes": 61_000_000}],
        }


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: FakeNode
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the tests' own output is what matters."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path in ("/", "/chat") or path.startswith("/admin"):
            self._page()
        elif path.startswith("/static/"):
            self._file(path)
        elif path == "/health/ready":
            names = ["storage", "identity", "workers", "inference_router", "api_server"]
            self._json(200, {"ready": True, "subsystems": dict.fromkeys(names, True)})
        elif not self._may():
            self._error(401, "The API key is missing or wrong", "invalid_api_key")
        elif path == "/v1/models":
            self._json(200, {"object": "list", "data": MODELS})
        elif path == "/v1/status":
            self._json(200, self.server.status())
        elif path == "/api/admin/peers":
            self._json(200, {"peers": self.server.network.peers()})
        elif path == "/api/admin/network-code":
            self._json(200, self.server.network.code())
        else:
            self._error(404, "No such route", "not_found")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/api/admin/page-key":
            self._page_key()
        elif not self._may():
            self._error(401, "The API key is missing or wrong", "invalid_api_key")
        elif self.path == "/v1/chat/completions":
            self._chat(json.loads(body))
        elif self.path == "/api/admin/doctor":
            self._json(200, self.server.network.doctor())
        elif self.path == "/api/admin/join-network":
            self._json(*self.server.network.join(json.loads(body)))
        else:
            self._error(404, "No such route", "not_found")

    def _may(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {self.server.api_key}"

    def _page(self) -> None:
        nonce = secrets.token_hex(16) if self.server.gives_nonce else ""
        if nonce:
            self.server.nonces.add(nonce)
        text = (PAGE / "index.html").read_text(encoding="utf-8")
        text = text.replace("{{page_nonce}}", nonce).replace("{{theme}}", "dark")
        self._send(200, "text/html; charset=utf-8", text.encode())

    def _file(self, path: str) -> None:
        inside = path.removeprefix("/static/")
        base = PAGE if inside.startswith("i18n/") else PAGE / "static"
        file = (base / inside).resolve()
        if not file.is_relative_to(base) or not file.is_file():
            self._error(404, "No such file", "not_found")
            return
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        self._send(200, kind, file.read_bytes())

    def _page_key(self) -> None:
        nonce = self.headers.get("x-page-nonce", "")
        if nonce not in self.server.nonces:
            self._error(403, "The page's nonce is spent", "bad_nonce", "Reload the page.")
            return
        self.server.nonces.remove(nonce)
        self._json(200, {"api_key": self.server.api_key})

    def _chat(self, request: dict[str, Any]) -> None:
        model = request["model"]
        if model not in NAMES:
            self._error(404, f"There is no model {model!r}", "model_not_found", f"Known: {', '.join(NAMES)}")
            return
        self.server.active += 1
        try:
            self._stream(chunks(model, answer_to(request)))
        except OSError:
            self.close_connection = True  # The page went away in the middle, as it may.
        finally:
            self.server.active -= 1

    def _stream(self, events: Iterator[dict[str, Any]]) -> None:
        self.close_connection = True
        self._head(200, "text/event-stream; charset=utf-8", None)
        for event in events:
            self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.flush()
            time.sleep(PAUSE_SECONDS)
        self.wfile.write(b"data: [DONE]\n\n")

    def _error(self, status: int, message: str, code: str, hint: str = "") -> None:
        body = {"message": message, "type": "invalid_request_error", "param": None}
        self._json(status, {"error": {**body, "code": code, "hint": hint}})

    def _json(self, status: int, body: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(body).encode())

    def _send(self, status: int, kind: str, body: bytes) -> None:
        self._head(status, kind, len(body))
        self.wfile.write(body)

    def _head(self, status: int, kind: str, length: int | None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-security-policy", CSP)
        self.send_header("x-content-type-options", "nosniff")
        self.send_header("referrer-policy", "no-referrer")
        self.send_header("cache-control", "no-store")
        if length is None:
            self.send_header("connection", "close")
        else:
            self.send_header("content-length", str(length))
        self.end_headers()


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8899)
    parser.add_argument("--no-nonce", action="store_true")
    options = parser.parse_args()
    node = FakeNode(options.port, nonce=not options.no_nonce)
    print(f"http://127.0.0.1:{node.server_address[1]}/ key {node.api_key}", flush=True)
    node.serve_forever()


if __name__ == "__main__":
    main()
