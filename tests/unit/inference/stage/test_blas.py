"""The BLAS is held to one thread whatever the environment says, and has a name."""

import pytest

from swarmnode.inference.stage import blas


@pytest.mark.skipif(blas._library() is None, reason="numpy brings no OpenBLAS here")
def test_one_thread_and_a_name() -> None:
    library = blas._library()
    blas._function(library, "set_num_threads")(2)
    name = blas.hold_to_one_thread()
    assert blas._function(library, "get_num_threads")() == 1
    assert name.isascii() and name not in ("", "unknown")


def test_a_blas_nobody_knows_is_called_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_library", lambda: None)
    assert blas.hold_to_one_thread() in ("unknown", "Accelerate")
