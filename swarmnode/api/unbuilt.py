"""Routes that users of such software know and that are not built yet: named, instead of a bare 404."""

from __future__ import annotations

from swarmnode.values.errors import Refused

_LATER: tuple[tuple[str, str], ...] = (
    ("/v1/responses", "The OpenAI Responses API"),
    ("/v1/messages", "The Anthropic Messages API"),
    ("/v1/providers", "The list of cloud providers"),
    ("/v1/audio", "Speech"),
    ("/v1/images", "Image generation"),
    ("/v1/files", "The files API"),
    ("/v1/fine_tuning", "Fine-tuning"),
    ("/mcp", "The MCP server"),
    ("/api/pool", "Device pools"),
    ("/api/identity", "Nicknames and the leaderboard"),
    ("/api/claude-code", "Claude Code sessions"),
    ("/api/admin/config", "Changing the configuration over HTTP"),
    ("/api/admin/models", "Managing models over HTTP"),
    ("/api/admin/hf", "Downloads from Hugging Face"),
    ("/api/admin/ws", "The WebSocket of the dashboard"),
    ("/api/admin/update", "Updates"),
)


def what_is_missing(path: str) -> Refused | None:
    """The error for a path whose feature is known and not there; None for other paths."""
    for prefix, feature in _LATER:
        if path == prefix or path.startswith((prefix + "/", prefix + "-")):
            return Refused(
                f"{feature} ({prefix}) is not built in this version",
                code="not_found",
                hint="`/v1/chat/completions` and `/v1/completions` answer.",
            )
    return None
