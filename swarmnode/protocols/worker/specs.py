"""`LoadSpec` as JSON-able data and back."""

from __future__ import annotations

from typing import Any

from swarmnode.protocols.worker.messages import LinkFault
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.layers import LayerRange
from swarmnode.values.loading import LoadSpec


def spec_as_dict(spec: LoadSpec) -> dict[str, Any]:
    """A `LoadSpec` as JSON-able data."""
    data = {name: getattr(spec, name) for name in LoadSpec.__slots__}
    data["layers"] = [spec.layers.start, spec.layers.end] if spec.layers else None
    data["options"] = dict(spec.options)
    return data


def spec_from_dict(data: Any) -> LoadSpec:
    """The inverse of `spec_as_dict`. Raises `LinkFault`."""
    try:
        layers = data.pop("layers")
        return LoadSpec(layers=LayerRange(*layers) if layers else None, **data)
    except (TypeError, AttributeError, KeyError, SwarmnodeError) as error:
        raise LinkFault("a load message that cannot be read") from error
