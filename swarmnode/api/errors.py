"""Errors as HTTP answers: ONE table from an error's code to its status and OpenAI's `type`."""

from __future__ import annotations

from typing import Any

from swarmnode.values.errors import LocalFault, SwarmnodeError

RETRY_AFTER_SECONDS = 2

_REQUEST = "invalid_request_error"
_SERVER = "server_error"
_BUSY = "service_unavailable"

#: code -> (HTTP status, `type` of the envelope). A code that is not here goes by its kind.
BY_CODE: dict[str, tuple[int, str]] = {
    "missing_api_key": (401, "authentication_error"),
    "invalid_api_key": (401, "authentication_error"),
    "foreign_host": (403, "permission_error"),
    "foreign_origin": (403, "permission_error"),
    "loopback_only": (403, "permission_error"),
    "bad_nonce": (403, "permission_error"),
    "model_not_found": (404, "not_found_error"),
    "model_ambiguous": (400, _REQUEST),
    "not_found": (404, "not_found_error"),
    "method_not_allowed": (405, _REQUEST),
    "request_too_large": (413, _REQUEST),
    "headers_too_large": (431, _REQUEST),
    "rate_limit_exceeded": (429, "rate_limit_error"),
    "internal_error": (500, _SERVER),
    "worker_lost": (500, _SERVER),
    "deadline_exceeded": (504, "timeout_error"),
    "not_built_yet": (501, "not_implemented_error"),
    "queue_full": (503, _BUSY),
    "stopping": (503, _BUSY),
    "not_ready": (503, _BUSY),
}

BY_KIND: dict[str, tuple[int, str]] = {
    "refused": (400, _REQUEST),
    "unavailable": (503, _BUSY),
    "peer": (502, "upstream_error"),
    "local": (500, _SERVER),
}


def status_of(error: SwarmnodeError) -> int:
    """The HTTP status that says what the error says."""
    return _row(error)[0]


def envelope(error: SwarmnodeError) -> dict[str, Any]:
    """The error as every API answers it: OpenAI's envelope and a `hint`, the way out."""
    return {
        "error": {
            "message": error.message,
            "type": _row(error)[1],
            "param": error.param,
            "code": error.code,
            "hint": error.hint or None,
        }
    }


def retry_after(error: SwarmnodeError) -> int | None:
    """Seconds a client should wait, where waiting may help."""
    return RETRY_AFTER_SECONDS if status_of(error) in (429, 503) else None


def unexpected(request_id: str) -> LocalFault:
    """What a client is told of a bug: nothing of its inside, and where to look."""
    return LocalFault(
        "The node failed while it worked on this request",
        code="internal_error",
        hint=f"The node's log has the details under request {request_id}.",
    )


def _row(error: SwarmnodeError) -> tuple[int, str]:
    return BY_CODE.get(error.code) or BY_KIND.get(error.kind, BY_KIND["local"])
