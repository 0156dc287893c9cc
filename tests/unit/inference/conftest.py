"""Machine code is compiled once for all tests of a run."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled kernels are kept until the run ends."""
    return tmp_path_factory.mktemp("kernels")
