"""Talking to a running node over HTTP, with the standard library only (so that `status` is quick)."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError, Unavailable

if TYPE_CHECKING:
    from swarmnode.config import Config

CONNECT_SECONDS = 5.0
#: A cold model may have to be loaded, and a long prompt to be read, before the first byte comes.
SILENCE_SECONDS = 600.0
MAX_ANSWER_BYTES = 64 << 20
MAX_LINE_BYTES = 4 << 20
MAX_KEY_BYTES = 4096
#: What to connect to when the node listens on every interface.
_UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the far end; nothing is bound here

Connect = Callable[[float], HTTPConnection]


class NodeClient:
    """A client of one node. Every request has a connection of its own, so threads may share it.

    url: for messages. connect: makes a connection with the given time-out in seconds.
    key_place: where the key is kept, for messages. elsewhere: asked when nobody answers; says where the node
    is instead, or nothing.
    """

    def __init__(
        self,
        url: str,
        connect: Connect,
        key: str = "",
        key_place: str = "",
        elsewhere: Callable[[], str] = lambda: "",
    ) -> None:
        self.url, self._connect, self._key, self._key_place = url, connect, key, key_place
        self._elsewhere = elsewhere

    def get(self, path: str, *, with_key: bool = True) -> tuple[int, Any]:
        """The status and the JSON of a GET. Raises `Unavailable` when no node answers."""
        with self._exchange("GET", path, None, with_key, CONNECT_SECONDS) as response:
            return response.status, self._json(response)

    def fetch(self, path: str) -> Any:
        """The JSON of a GET that has to succeed. Raises a `SwarmnodeError`."""
        return self._accepted(*self.get(path))

    def post(self, path: str, body: Any) -> Any:
        """The JSON of a POST that has to succeed. Raises a `SwarmnodeError`."""
        with self._exchange("POST", path, body, True, SILENCE_SECONDS) as response:
            return self._accepted(response.status, self._json(response))

    def stream(self, path: str, body: Any) -> Generator[Any, None, None]:
        """The JSON of each server-sent event of a POST, up to `[DONE]`.

        Closing the iterator closes the connection, which stops the generation. Raises a
        `SwarmnodeError` for a refusal, for an error event, and for a stream that ends early.
        """
        with self._exchange("POST", path, body, True, SILENCE_SECONDS) as response:
            if response.status != 200:
                self._accepted(response.status, self._json(response))
            for data in server_events(response):
                if data == "[DONE]":
                    return
                event = self._parsed(data)
                if isinstance(event, dict) and event.get("error"):
                    raise self._refusal(500, event)
                yield event
        raise Unavailable("The answer was cut off before its end", code="answer_cut_off")

    @contextmanager
    def _exchange(
        self, method: str, path: str, body: Any, with_key: bool, seconds: float
    ) -> Iterator[HTTPResponse]:
        headers = {"Connection": "close"}
        if with_key and self._key:
            headers["Authorization"] = f"Bearer {self._key}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        connection = self._connect(seconds)
        try:
            connection.request(method, path, None if body is None else json.dumps(body).encode(), headers)
            yield connection.getresponse()
        except (OSError, HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()

    def _json(self, response: HTTPResponse) -> Any:
        data = response.read(MAX_ANSWER_BYTES + 1)
        if len(data) > MAX_ANSWER_BYTES:
            raise Unavailable(f"{self.url} sent more than {MAX_ANSWER_BYTES} bytes", code="not_a_node")
        return self._parsed(data)

    def _parsed(self, data: bytes | str) -> Any:
        try:
            return json.loads(data)
        except ValueError as error:
            raise self._stranger() from error

    def _accepted(self, status: int, data: Any) -> Any:
        if status != 200:
            raise self._refusal(status, data)
        return data

    def _refusal(self, status: int, data: Any) -> SwarmnodeError:
        """The error that an answer describes (the envelope of the APIs)."""
        error = data.get("error") if isinstance(data, dict) else None
        if not isinstance(error, dict):
            return self._stranger()
        if status == 401:
            return Refused(
                f"The node at {self.url} does not accept the API key in {self._key_place}",
                code="bad_key",
                hint="Name the --data-dir of the node that runs on this port.",
            )
        kind = Unavailable if status in (429, 503) else Refused if status < 500 else LocalFault
        return kind(
            str(error.get("message", f"HTTP status {status}")),
            code=str(error.get("code") or "request_failed"),
            hint=str(error.get("hint") or ""),
            param=error.get("param"),
        )

    def _unreachable(self, error: Exception) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Unavailable(f"{self.url} does not answer in time", code="node_silent")
        if isinstance(error, ConnectionRefusedError) or not isinstance(
            error, ConnectionError | HTTPException
        ):
            return Unavailable(
                f"No node answers at {self.url}",
                code="node_not_running",
                hint=self._elsewhere() or "Start one with `swarmnode run`, or name its port with --port.",
            )
        return Unavailable(f"{self.url} broke the connection off: {error}", code="connection_lost")

    def _stranger(self) -> Unavailable:
        return Unavailable(
            f"What answers at {self.url} is not a swarmnode",
            code="not_a_node",
            hint="Name the port of the node with --port.",
        )


def server_events(response: HTTPResponse) -> Iterator[str]:
    """The data of each server-sent event (WHATWG HTML, section 9.2), as far as our APIs use them."""
    data: list[str] = []
    while line := response.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise Unavailable(f"An event is longer than {MAX_LINE_BYTES} bytes", code="not_a_node")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text.startswith("data:"):
            data.append(text[5:].removeprefix(" "))
        elif not text and data:
            yield "\n".join(data)
            data = []


def client_for(config: Config) -> NodeClient:
    """The client of the node that a configuration describes."""
    port, listening = config.value("node.listen_port"), config.value("api.listen_address")
    host = _UNSPECIFIED.get(listening, listening)
    key, place = _api_key(config)
    shown = f"[{host}]" if ":" in host else host
    return NodeClient(
        f"http://{shown}:{port}",
        lambda seconds: HTTPConnection(host, port, timeout=seconds),
        key,
        place,
        lambda: _node_elsewhere(config.data_dir, port),
    )


def _node_elsewhere(data_dir: Path, port: int) -> str:
    """Where the node of this data directory listens, if it is not the port that was asked."""
    from swarmnode.storage.data_dir import data_dir_holder

    holder = data_dir_holder(data_dir)
    if holder is None or holder.port in (0, port):
        return ""
    return f"The node of {data_dir} is on another port: --port {holder.port}."


def _api_key(config: Config) -> tuple[str, str]:
    """The key, and where it is kept. No key file: an empty key, and the node says what it thinks of it."""
    from swarmnode.config.paths import API_KEY_FILE

    if config.value("api.api_key"):
        return config.value("api.api_key"), str(config.origin("api.api_key"))
    path: Path = config.data_dir / API_KEY_FILE
    try:
        with path.open("rb") as file:
            return file.read(MAX_KEY_BYTES).decode("ascii", "replace").strip(), str(path)
    except FileNotFoundError:
        return "", f"{path} (there is no such file)"
    except OSError as error:
        raise Refused(
            f"{path} cannot be read: {error.strerror}",
            code="no_key",
            hint="Run the command as the user that runs the node.",
        ) from error
