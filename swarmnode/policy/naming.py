"""Names of models: labels from file names, and which model a client's word stands for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from swarmnode.values.errors import Refused

MAX_LABEL_CHARS = 128
MAX_NAMED_IN_ERROR = 12
_LEFTOVERS = re.compile(r"(\.(bak|old|orig|tmp|part|partial)|[ -]copy( ?\(\d+\))?|~)$", re.IGNORECASE)
_SPLIT_SUFFIX = re.compile(r"-\d{5}-of-\d{5}$")


def label_of(file_name: str) -> str | None:
    """The label of a model file: the slug of its name (contract 3.6). None for copies and left-overs
    such as `model.bak.gguf`, and for names that leave nothing."""
    stem = re.sub(r"\.gguf$", "", file_name, flags=re.IGNORECASE)
    if _LEFTOVERS.search(stem):
        return None
    stem = _SPLIT_SUFFIX.sub("", stem)
    slug = re.sub(r"[^a-z0-9.]+", "-", stem.lower()).strip("-.")
    return slug[:MAX_LABEL_CHARS].rstrip("-.") or None


def resolve(name: str, labels: Sequence[str], default: str = "") -> str:
    """The label that a client's `name` stands for.

    Empty and `auto` mean the configured default, or else the first label. Otherwise the exact label, a
    file-like spelling of it, or a prefix that only one label has. Raises `Refused` that names what there is.
    """
    if name in ("", "auto"):
        if default and default not in ("auto",):
            return resolve(default, labels)
        if labels:
            return labels[0]
        raise _unknown("auto", labels)
    wanted = label_of(name) or name.lower()
    if name in labels:
        return name
    if wanted in labels:
        return wanted
    matching = [label for label in labels if wanted and label.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise Refused(
            f"The model name {name!r} is the beginning of several: {_listed(matching)}",
            code="model_ambiguous",
            hint="Write the whole name.",
            param="model",
        )
    raise _unknown(name, labels)


def _unknown(name: str, labels: Sequence[str]) -> Refused:
    near = difflib.get_close_matches(name.lower(), labels, n=1, cutoff=0.6)
    known = f"Known models: {_listed(labels)}." if labels else "This node has no model."
    return Refused(
        f"There is no model {name[:MAX_LABEL_CHARS]!r} here. {known}",
        code="model_not_found",
        hint=f"Did you mean {near[0]!r}?"
        if near
        else "Use one of the names that GET /v1/models lists, or `auto`.",
        param="model",
    )


def _listed(labels: Sequence[str]) -> str:
    shown = ", ".join(labels[:MAX_NAMED_IN_ERROR])
    return shown + (
        f" and {len(labels) - MAX_NAMED_IN_ERROR} more" if len(labels) > MAX_NAMED_IN_ERROR else ""
    )
