"""The table of families and what the header reader knows of them are the same."""

import pytest

from swarmnode.inference.models.registry import FAMILIES, family_of
from swarmnode.models.facts import EXPERT_ARCHITECTURES, SUPPORTED_ARCHITECTURES
from swarmnode.values.errors import Refused


def test_the_header_reader_lists_the_families_there_are() -> None:
    assert tuple(FAMILIES) == SUPPORTED_ARCHITECTURES
    assert {name for name, family in FAMILIES.items() if family.experts != "none"} == EXPERT_ARCHITECTURES


def test_an_unknown_family_is_refused_with_the_known_ones() -> None:
    with pytest.raises(Refused, match="mamba") as caught:
        family_of("mamba")
    assert ", ".join(FAMILIES) in caught.value.hint
