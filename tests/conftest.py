"""Fixtures for every tier."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data beside the checkout (or named by SWARMNODE_SHARED)."""
    place = Path(os.environ.get("SWARMNODE_SHARED", ROOT.parent / "shared"))
    if not (place / "data").is_dir():
        pytest.skip(f"the shared test data are not at {place}")
    return place
