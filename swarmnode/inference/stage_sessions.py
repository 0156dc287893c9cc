"""A stage on the link: sessions of pipelines whose heads are elsewhere.

Questions, answered with (header, payload); `session` is the head's own name for it, `epoch` rises with
every re-plan and questions of an older one are refused:

    open_session   tokens (room), and for the stage that samples `sampler` (see `Drawing`), payload the
                   ids of all tokens so far. Opening again starts the session afresh.
    step           first, count, sample; payload int32 ids (`dtype` i4, shape [count]) or float32 rows
                   (`dtype` f4, shape [count, hidden]). Answers with the hidden rows in the same form, or
                   with nothing, or, where `sample` is true, with `token` (and `logprob`, `top`).
    truncate       position
    close_session
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.inference.stage.seam import Batch, Slice, Stage
from swarmnode.protocols.worker.tokens import ids_from
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.generation import sampling_from_dict

MAX_SESSIONS = 64
_DTYPES = {"i4": np.dtype("<i4"), "f4": np.dtype("<f4")}

Reply = tuple[dict[str, Any], Any]


@dataclass(slots=True)
class Drawing:
    """What the stage that samples knows of the request: how to draw, and all tokens so far."""

    sampler: Sampler
    prompt: int
    tokens: list[int]

    def draw(self, logits: npt.NDArray[np.float32], position: int) -> dict[str, Any]:
        """Draw the token at `position`; what was drawn from there on before is forgotten."""
        if position > len(self.tokens):
            raise Refused(
                f"the token at {position} cannot be drawn before that at {len(self.tokens)}", code="bad_step"
            )
        del self.tokens[position:]
        drawn = self.sampler.sample(logits, position, self.tokens[: self.prompt], self.tokens[self.prompt :])
        self.tokens.append(drawn.token_id)
        return {"token": drawn.token_id, "logprob": drawn.logprob, "top": [list(pair) for pair in drawn.top]}


@dataclass(slots=True)
class _Session:
    number: int
    epoch: int
    drawing: Drawing | None


class StageSessions:
    """The sessions of other heads on one stage. Not thread-safe. `number` gives new stage sessions."""

    def __init__(self, stage: Stage, number: Callable[[], int]) -> None:
        self._stage, self._number = stage, number
        self._sessions: dict[str, _Session] = {}
        self._answers: dict[str, Callable[[Mapping[str, Any], Any], Reply]] = {
            "open_session": self._open,
            "step": self._step,
            "truncate": self._truncate,
            "close_session": self._close,
        }

    def answer(self, kind: str, header: Mapping[str, Any], payload: Any) -> Reply:
        """Answer a question. Raises `Refused` and `Unavailable`."""
        return self._answers[kind](header, payload)

    def _open(self, header: Mapping[str, Any], payload: Any) -> Reply:
        name, epoch = str(header["session"]), int(header["epoch"])
        old = self._sessions.get(name)
        if old is not None:
            _check_epoch(old, epoch)
            self._stage.close(old.number)
        elif len(self._sessions) >= MAX_SESSIONS:
            raise Unavailable(
                f"This stage already has {MAX_SESSIONS} sessions", code="stage_full", hint="Try again later."
            )
        session = _Session(self._number(), epoch, self._drawing(header.get("sampler"), payload))
        self._stage.open(session.number, int(header["tokens"]))
        self._sessions[name] = session
        return {}, b""

    def _drawing(self, sampler: Mapping[str, Any] | None, payload: Any) -> Drawing | None:
        if sampler is None:
            return None
        if not self._stage.has_head:
            raise Refused("This stage lacks the output head, so it cannot sample", code="not_a_head")
        sampling = sampling_from_dict(sampler["sampling"])
        vocab = self._stage.facts.vocab
        drawer = Sampler(sampling, sampler["seed"], sampler["choice"], vocab, sampler["logprobs"])
        return Drawing(drawer, sampler["prompt"], list(ids_from(payload)))

    def _step(self, header: Mapping[str, Any], payload: Any) -> Reply:
        session = self._current(header)
        first, count, sample = int(header["first"]), int(header["count"]), bool(header["sample"])
        rows = _read(header, payload, count)
        part = Slice(session.number, first, count, "last" if sample else "none")
        batch = Batch((part,), tokens=rows) if rows.dtype == np.int32 else Batch((part,), hidden=rows)
        result = self._stage.step(batch)
        if sample and session.drawing is not None and result.logits is not None:
            return session.drawing.draw(result.logits[0], first + count), b""
        if result.hidden is None:
            return {}, b""
        hidden = np.ascontiguousarray(result.hidden, "<f4")
        return {"dtype": "f4", "shape": list(hidden.shape)}, hidden.tobytes()

    def _truncate(self, header: Mapping[str, Any], _payload: Any) -> Reply:
        self._stage.truncate(self._current(header).number, int(header["position"]))
        return {}, b""

    def _close(self, header: Mapping[str, Any], _payload: Any) -> Reply:
        session = self._sessions.pop(str(header["session"]), None)
        if session is not None:
            self._stage.close(session.number)
        return {}, b""

    def _current(self, header: Mapping[str, Any]) -> _Session:
        session = self._sessions.get(str(header["session"]))
        if session is None:
            raise Refused(f"session {header['session']!r} is not open here", code="unknown_session")
        _check_epoch(session, int(header["epoch"]))
        session.epoch = int(header["epoch"])
        return session


def _check_epoch(session: _Session, epoch: int) -> None:
    if epoch < session.epoch:
        raise Refused(f"epoch {epoch} is over: this is epoch {session.epoch}", code="old_epoch")


def _read(header: Mapping[str, Any], payload: Any, count: int) -> npt.NDArray[Any]:
    """The rows of a step. Raises `Refused` when header and payload do not agree."""
    dtype, shape = _DTYPES.get(header["dtype"]), [int(n) for n in header["shape"]]
    if dtype is None or not shape or shape[0] != count or min(shape) < 1:
        raise Refused(f"rows of type {header['dtype']!r} and shape {shape} for {count}", code="bad_step")
    if int(np.prod(shape)) * dtype.itemsize != len(payload):
        raise Refused(f"{len(payload)} bytes do not fill the shape {shape}", code="bad_step")
    rows = np.frombuffer(payload, dtype).reshape(shape)
    return rows.astype(dtype.newbyteorder("="), copy=False)
