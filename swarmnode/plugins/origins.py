"""Which installed distribution a plug-in's file belongs to."""

from __future__ import annotations

from importlib.metadata import Distribution, distributions
from pathlib import Path

BUILT_IN = "built in"


def distribution_of(file: str) -> str:
    """`name version` of the distribution that installed the file; empty when none says so.

    Reads the records of what is installed beside the file, so it is asked for third parties' files only.
    """
    path = Path(file)
    root = path.parent.parent.parent
    for distribution in distributions(path=[str(root)]):
        if _installed(distribution, path):
            return f"{distribution.metadata['Name']} {distribution.version}"
    return ""


def _installed(distribution: Distribution, path: Path) -> bool:
    # The record's text is looked at first: parsing the records of everything takes a second.
    record = distribution.read_text("RECORD") or distribution.read_text("SOURCES.txt") or ""
    if path.name not in record:
        return False
    return any(Path(str(distribution.locate_file(f))) == path for f in distribution.files or ())
