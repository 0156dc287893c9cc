from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.observability import machine
from swarmnode.observability.machine import machine_facts


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text(
        "MemTotal:       16000000 kB\nMemAvailable:    9000000 kB\nHugePages: 0\n"
    )
    (tmp_path / "proc/cpuinfo").write_text(
        "".join(
            f"processor\t: {i}\nmodel name\t: Tidy CPU\nphysical id\t: 0\ncore id\t: {i % 1}\n\n"
            for i in range(4)
        )
    )
    return tmp_path


def group(root: Path, path: str, text: str) -> None:
    target = root / "sys/fs/cgroup" / path / "memory.max"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def test_memory_and_physical_cores_are_read(root: Path) -> None:
    facts = machine_facts(root)
    assert (facts.ram_total, facts.ram_available) == (16_000_000 * 1024, 9_000_000 * 1024)
    assert facts.cores == 1
    assert facts.processor == "Tidy CPU"
    assert facts.cgroup_limit is None


def test_the_tightest_control_group_counts(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("0::/system.slice/node.service\n")
    group(root, "system.slice/node.service", "max\n")
    group(root, "system.slice", "2147483648\n")
    group(root, "", "4294967296\n")
    assert machine_facts(root).cgroup_limit == 2 << 30


def test_version_one_control_groups_count_too(root: Path) -> None:
    (root / "proc/self/cgroup").write_text("9:cpu:/x\n4:memory:/docker/abc\n")
    path = root / "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes"
    path.parent.mkdir(parents=True)
    path.write_text("1073741824\n")
    assert machine_facts(root).cgroup_limit == 1 << 30


def test_a_machine_without_proc_still_has_a_core(tmp_path: Path) -> None:
    facts = machine_facts(tmp_path)
    assert facts.cores >= 1
    assert facts.ram_available is None


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"a/b/cpu.max": "250000 100000\n", "a/cpu.max": "max 100000\n"}, 3),
        ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "50000 100000\n"}, 1),
        ({"a/b/cpu.max": "max 100000\n"}, 4),
        ({"a/b/cpu.max": "nonsense\n"}, 4),
        ({"a/b/cpu.max": ""}, 4),
    ],
)
def test_no_more_cores_than_the_group_gets_time_of(
    root: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: int
) -> None:
    monkeypatch.setattr(machine, "_usable_cpus", lambda: 8)
    blocks = (f"processor\t: {i}\nphysical id\t: 0\ncore id\t: {i}\n\n" for i in range(4))
    (root / "proc/cpuinfo").write_text("".join(blocks))
    (root / "proc/self/cgroup").write_text("0::/a/b\n")
    for path, text in files.items():
        target = root / "sys/fs/cgroup" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    assert machine_facts(root).cores == cores


def test_version_one_groups_have_processors_time_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_usable_cpus", lambda: 8)
    (root / "proc/cpuinfo").unlink()
    (root / "proc/self/cgroup").write_text("9:cpu,cpuacct:/x\n")
    group = root / "sys/fs/cgroup/cpu/x"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text("-1\n")
    (group / "cpu.cfs_period_us").write_text("100000\n")
    assert machine_facts(root).cores == 8
    (group / "cpu.cfs_quota_us").write_text("200000\n")
    assert machine_facts(root).cores == 2
