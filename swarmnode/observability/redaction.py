"""Keeping secrets out of the logs: by value where they are known, by form and by name elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
#: Shorter values are not hidden: they would blank ordinary words (and protect nothing).
MIN_SECRET_CHARS = 4
MAX_SECRETS = 256
MAX_DEPTH = 4
MAX_ITEMS = 64
MAX_TEXT_CHARS = 4096
MAX_TRACEBACK_CHARS = 64 * 1024

_SECRET_NAMES = frozenset(
    (
        *("api_key", "apikey", "x_api_key", "private_key", "authorization", "proxy_authorization"),
        *("passphrase", "password", "secret", "client_secret", "bearer", "cookie", "set_cookie"),
        *("access_token", "auth_token", "refresh_token"),
    )
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|x-api-key:)\s+)[^\s,;'\"]{4,}")
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)")
# The usual form of provider keys: sk-..., sk-ant-..., gsk_..., hf_..., nvapi-..., AIza...
_PROVIDER_KEY = re.compile(
    r"\b(?:sk|gsk|hf|nvapi|xai|r8|pplx)[-_][A-Za-z0-9_-]{16,}|\bAIza[A-Za-z0-9_-]{30,}"
)


class Secrets:
    """The secret values known so far."""

    def __init__(self) -> None:
        self._values: tuple[str, ...] = ()

    def add(self, value: str) -> None:
        """Hide this value from now on. Empty and very short values are ignored."""
        if len(value) < MIN_SECRET_CHARS or value in self._values:
            return
        # Longest first: one secret may contain another.
        self._values = tuple(sorted((*self._values, value), key=len, reverse=True))[:MAX_SECRETS]

    def hide(self, text: str) -> str:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, REDACTED)
        text = _BEARER.sub(rf"\1{REDACTED}", text)
        text = _URL_PASSWORD.sub(rf"\1{REDACTED}", text)
        return _PROVIDER_KEY.sub(REDACTED, text)

    def clean(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields as plain, bounded data without secrets: str, int, float, bool, None, list, dict."""
        return {
            self.hide(str(name)): REDACTED if _is_secret(name) and value else self._plain(value, 0)
            for name, value in fields.items()
        }

    def text(self, value: object, limit: int = MAX_TEXT_CHARS) -> str:
        """Anything as a bounded text without secrets. Hidden first, so that no cut leaves half of one."""
        try:
            text = value if isinstance(value, str) else str(value)
        except Exception as error:
            text = f"<{type(value).__name__} whose text raises {type(error).__name__}>"
        text = self.hide(text)
        return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"

    def _plain(self, value: Any, depth: int) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if depth < MAX_DEPTH and isinstance(value, Mapping):
            items = list(value.items())[:MAX_ITEMS]
            return {
                self.text(k): REDACTED if _is_secret(k) and v else self._plain(v, depth + 1) for k, v in items
            }
        if depth < MAX_DEPTH and isinstance(value, list | tuple | set | frozenset):
            return [self._plain(item, depth + 1) for item in list(value)[:MAX_ITEMS]]
        return self.text(value)


def _is_secret(name: object) -> bool:
    return isinstance(name, str) and name.lower().replace("-", "_") in _SECRET_NAMES
