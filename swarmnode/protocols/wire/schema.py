"""Protobuf message classes from tables, made at run time: no generated files, no compiler.

    RECORDS = schema("records", Record={"key": "1 bytes", "value": "2 bytes"},
                     Message={"type": "1 int32", "records": "2 repeated Record"})
    RECORDS.Message(type=1).SerializeToString()

A field is `number [repeated] type`, the type a protobuf scalar or another message of the same table.
Single scalars know whether they were there (`HasField`), as with proto2's `optional`. Enumerations
are `int32`, which is the same on the wire and lets unknown values through. A string that is not UTF-8
makes the whole message ill formed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from swarmnode.values.errors import PeerFault

_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _FIELD.TYPE_BOOL,
    "bytes": _FIELD.TYPE_BYTES,
    "string": _FIELD.TYPE_STRING,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "uint32": _FIELD.TYPE_UINT32,
    "uint64": _FIELD.TYPE_UINT64,
    "sint32": _FIELD.TYPE_SINT32,
    "fixed64": _FIELD.TYPE_FIXED64,
    "float": _FIELD.TYPE_FLOAT,
    "double": _FIELD.TYPE_DOUBLE,
}


def schema(name: str, **messages: Mapping[str, str]) -> Any:
    """The message classes of a table, as attributes of one object. name: unique in the program."""
    package = f"swarmnode.{name}"
    file = descriptor_pb2.FileDescriptorProto(
        name=f"swarmnode/{name}.proto",
        package=package,
        syntax="editions",
        edition=descriptor_pb2.EDITION_2023,
    )
    # Edition 2023 is proto2 whose strings have to be UTF-8: proto2 itself hands out others as bytes.
    features = descriptor_pb2.FeatureSet
    file.options.features.utf8_validation = features.VERIFY
    file.options.features.repeated_field_encoding = features.EXPANDED
    for title, fields in messages.items():
        message = file.message_type.add(name=title)
        for field, text in fields.items():
            _add_field(message, field, text, package)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return SimpleNamespace(
        **{
            title: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{title}"))
            for title in messages
        }
    )


def parse(message_class: Any, data: bytes, what: str) -> Any:
    """The message in the bytes. Raises `PeerFault`. what: named in the error."""
    try:
        return message_class.FromString(data)
    except (DecodeError, ValueError) as error:
        raise PeerFault(f"{what} is not well formed: {error}", code="bad_message") from error


def _add_field(message: Any, name: str, text: str, package: str) -> None:
    number, *rest = text.split()
    kind = rest[-1]
    field = message.field.add(name=name, number=int(number))
    field.label = _FIELD.LABEL_REPEATED if rest[0] == "repeated" else _FIELD.LABEL_OPTIONAL
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"
