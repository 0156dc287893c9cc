"""Checking the fields of a JSON body: one table a dialect, one check a field.

A field is `done` (it does what it says), `accepted` (it cannot change the answer and is ignored), or
`default only` (the value that means "nothing special" is taken, any other is refused by name). A name
that is in no table is refused too: a field that is ignored in silence is a promise broken in silence.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from swarmnode.values.errors import Refused

#: (value, name of the field as the client wrote it) -> the value to use; raises `Refused`.
Check = Callable[[Any, str], Any]
Handling = Literal["done", "accepted", "default only"]

MAX_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request. `takes` says in words what the check lets pass, `meaning` what it does."""

    name: str
    handling: Handling
    check: Check
    takes: str
    meaning: str = ""
    required: bool = False


def read_fields(table: Mapping[str, Field], body: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The checked values of the fields that are there and not null. prefix: of the names in errors."""
    for name in body:
        if name not in table:
            raise _unknown(name, table, prefix)
    for field in table.values():
        if field.required and body.get(field.name) is None:
            raise missing(prefix + field.name)
    return {
        name: table[name].check(value, prefix + name) for name, value in body.items() if value is not None
    }


def table_of(*fields: Field) -> dict[str, Field]:
    """Fields by name; raises `ValueError` for a name twice."""
    table = {field.name: field for field in fields}
    if len(table) != len(fields):
        raise ValueError("a field is in the table twice")
    return table


def done(name: str, check: Check, takes: str, meaning: str, *, required: bool = False) -> Field:
    """A field that does what it says."""
    return Field(name, "done", check, takes, meaning, required)


def accepted(name: str, check: Check, takes: str, meaning: str = "") -> Field:
    """A field that cannot change the answer."""
    return Field(name, "accepted", check, takes, meaning)


def default_only(name: str, *allowed: Any) -> Field:
    """A field whose feature is not there: null and the `allowed` values are taken, others refused."""
    return Field(name, "default only", only(*allowed), " or ".join(["null", *map(_as_json, allowed)]))


def missing(param: str) -> Refused:
    """The error for a field that must be there."""
    return Refused(f"`{param}` is missing", code="missing_required_parameter", param=param)


def invalid_type(param: str, wanted: str, value: Any) -> Refused:
    """The error for a value of the wrong JSON type."""
    return Refused(f"`{param}` must be {wanted}, not {type_name(value)}", code="invalid_type", param=param)


def invalid_value(param: str, why: str) -> Refused:
    """The error for a value of the right type that cannot be used."""
    return Refused(f"`{param}` {why}", code="invalid_value", param=param)


def unsupported(param: str, why: str = "is not built in this version", hint: str = "") -> Refused:
    """The error for something known that is not there."""
    hint = hint or f"Leave `{param}` out."
    return Refused(f"`{param}` {why}", code="unsupported_parameter", hint=hint, param=param)


def type_name(value: Any) -> str:
    """What JSON calls the type of a value."""
    names = (
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a number"),
        (str, "a string"),
        (list, "an array"),
    )
    for kind, name in names:
        if isinstance(value, kind):
            return name
    return "null" if value is None else "an object"


def boolean(value: Any, param: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise invalid_type(param, "a boolean", value)
    return value


def number(low: float, high: float, *, above: bool = False) -> Check:
    """A number low <= x <= high (low < x with `above`)."""

    def check(value: Any, param: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid_type(param, "a number", value)
        if not (low < value if above else low <= value) or not value <= high:
            raise invalid_value(
                param, f"must be {'above' if above else 'at least'} {low:g} and at most {high:g}"
            )
        return float(value)

    return check


def integer(low: int, high: int, *, clamp: bool = False) -> Check:
    """An integer low <= x <= high; with `clamp`, what lies outside is moved to the nearest end."""

    def check(value: Any, param: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise invalid_type(param, "an integer", value)
        if clamp:
            return max(low, min(high, value))
        if not low <= value <= high:
            raise invalid_value(param, f"must be at least {low} and at most {high}")
        return value

    return check


def text(high: int, low: int = 0) -> Check:
    """A string of low..high characters."""

    def check(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise invalid_type(param, "a string", value)
        if not low <= len(value) <= high:
            raise invalid_value(param, f"must have {low} to {high} characters, not {len(value)}")
        return value

    return check


def text_or_texts(most: int, high: int) -> Check:
    """A string, or an array of at most `most` strings, each of 1..high characters; as a tuple."""
    one = text(high, 1)

    def check(value: Any, param: str) -> tuple[str, ...]:
        if isinstance(value, str):
            return (one(value, param),)
        if not isinstance(value, list):
            raise invalid_type(param, "a string or an array of strings", value)
        if len(value) > most:
            raise invalid_value(param, f"must have at most {most} entries, not {len(value)}")
        return tuple(one(item, f"{param}[{index}]") for index, item in enumerate(value))

    return check


def mapping(value: Any, param: str) -> dict[str, Any]:
    """Any object."""
    if not isinstance(value, dict):
        raise invalid_type(param, "an object", value)
    return value


def anything(value: Any, param: str) -> Any:
    """Whatever it is, it is not looked at."""
    return value


def only(*allowed: Any) -> Check:
    """One of the values that mean nothing special (null always does)."""

    def check(value: Any, param: str) -> Any:
        if any(type(value) is type(good) and value == good for good in allowed):
            return value
        hint = f"Leave `{param}` out" + (
            f", or send {' or '.join(map(_as_json, allowed))}." if allowed else "."
        )
        raise unsupported(param, "can have only its default value in this version", hint)

    return check


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _unknown(name: str, table: Mapping[str, Field], prefix: str) -> Refused:
    near = difflib.get_close_matches(name[:MAX_SHOWN], table, n=1)
    shown = prefix + name[:MAX_SHOWN]
    return Refused(
        f"`{shown}` is not a field of this request",
        code="unknown_parameter",
        hint=f"Did you mean `{near[0]}`?" if near else "Leave it out.",
        param=shown,
    )
