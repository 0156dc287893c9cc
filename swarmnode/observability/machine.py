"""What the machine has: processors and memory, control groups counted.

Linux is read from /proc and /sys; elsewhere `os.sysconf` and `os.cpu_count` give what they can.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from math import ceil
from pathlib import Path


@dataclass(frozen=True, slots=True)
class MachineFacts:
    """Sizes in bytes; None where they cannot be learnt. cores: physical ones that this process may use,
    and no more than the time of processors that its control group gets (`docker run --cpus`)."""

    cores: int
    ram_total: int | None
    ram_available: int | None
    cgroup_limit: int | None
    system: str
    processor: str


def machine_facts(root: Path = Path("/")) -> MachineFacts:
    """Read the facts now; a few milliseconds. `root` is where /proc and /sys lie (for tests)."""
    memory = _meminfo(root / "proc/meminfo")
    processor, cores = _processors(root / "proc/cpuinfo")
    usable = min(_usable_cpus(), _cgroup_cpus(root) or _usable_cpus())
    return MachineFacts(
        cores=max(1, min(cores or usable, usable)),
        ram_total=memory.get("MemTotal") or _sysconf_memory(),
        ram_available=memory.get("MemAvailable"),
        cgroup_limit=_cgroup_limit(root),
        system=f"{platform.system()} {platform.machine()}",
        processor=processor or platform.processor() or platform.machine(),
    )


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _meminfo(path: Path) -> dict[str, int]:
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except OSError:
        return {}
    fields = (line.split() for line in lines)
    return {f[0].rstrip(":"): int(f[1]) * 1024 for f in fields if len(f) >= 2 and f[1].isdecimal()}


def _processors(path: Path) -> tuple[str, int]:
    """The model name and the number of physical cores (pairs of physical id and core id)."""
    try:
        blocks = path.read_text("utf-8", "replace").split("\n\n")
    except OSError:
        return "", 0
    name, cores = "", set()
    for number, block in enumerate(filter(str.strip, blocks)):
        fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in block.splitlines())}
        if "processor" not in fields:
            continue
        name = name or fields.get("model name", "")
        cores.add((fields.get("physical id", ""), fields.get("core id", str(number))))
    return name, len(cores)


def _cgroup_limit(root: Path) -> int | None:
    """The smallest memory limit of this process's control group and those above it (v2, then v1)."""
    limits = [_number(path) for path in _cgroup_files(root, "memory", "memory.max", "memory.limit_in_bytes")]
    known = [limit for limit in limits if limit is not None and limit < 1 << 60]
    return min(known) if known else None


def _cgroup_cpus(root: Path) -> int | None:
    """The processors' time that the control group and those above it get, in whole processors; the part of
    one counts as one."""
    shares = [_share(path) for path in _cgroup_files(root, "cpu", "cpu.max", "cpu.cfs_quota_us")]
    known = [ceil(share) for share in shares if share]
    return min(known) if known else None


def _share(path: Path) -> float | None:
    """Of `cpu.max`: `quota period`, or `max period`; of `cpu.cfs_quota_us`: quota, the period beside it."""
    try:
        quota, *rest = path.read_text("ascii", "replace").split()
        period = rest[0] if rest else (path.parent / "cpu.cfs_period_us").read_text("ascii", "replace")
    except (OSError, ValueError):
        return None
    if not quota.isdecimal() or not period.strip().isdecimal() or not int(period):
        return None
    return int(quota) / int(period)


def _cgroup_files(root: Path, controller: str, leaf: str, old_leaf: str) -> list[Path]:
    """The files of this name of the process's control group and those above it; old_leaf: its name in v1."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    files: list[Path] = []
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        base, name = root / "sys/fs/cgroup", leaf
        if controllers:
            if controller not in controllers.split(","):
                continue
            base, name = root / "sys/fs/cgroup" / controller, old_leaf
        group = base / path.lstrip("/")
        while True:
            files.append(group / name)
            if group == base or base not in group.parents:
                break
            group = group.parent
    return files


def _number(path: Path) -> int | None:
    try:
        text = path.read_text("ascii", "replace").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _sysconf_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
