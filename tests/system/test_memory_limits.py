"""How much memory control groups leave, read from folders made up like those of the system."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nvs_eval.system import devices
from nvs_eval.system.memory_limits import memory_left

NO_LIMIT_V1 = 9223372036854771712


def belongs_to(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


def v2(root: Path, path: str, limit: int | str, used: int, inactive_file: int = 0) -> Path:
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 7\nactive_file 11\ninactive_file {inactive_file}\n")
    return folder


def v1(root: Path, path: str, limit: int, used: int, inactive_file: int = 0) -> Path:
    folder = root / "sys/fs/cgroup/memory" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"inactive_file 13\ntotal_inactive_file {inactive_file}\n")
    return folder


def test_files_that_can_be_dropped_count_as_free(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/")
    v2(tmp_path, "", 1000, 990, 600)
    assert memory_left(root=tmp_path) == 610
    v2(tmp_path, "", 1000, 300, 400)  # The files are read one after the other: no more than the limit.
    assert memory_left(root=tmp_path) == 1000
    v2(tmp_path, "", 1000, 1500, 400)
    assert memory_left(root=tmp_path) == 0


def test_the_least_over_a_group_and_those_above_it(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/slurm/job_1/step_0")
    v2(tmp_path, "slurm/job_1/step_0", "max", 100)
    v2(tmp_path, "slurm/job_1", 1000, 300, 100)
    v2(tmp_path, "slurm", 5000, 1000)
    v2(tmp_path, "slurm/job_2", 10, 0)
    assert memory_left(root=tmp_path) == 800
    v2(tmp_path, "slurm", 5000, 4500)
    assert memory_left(root=tmp_path) == 500
    v2(tmp_path, "slurm/job_1/step_0", 400, 100)
    assert memory_left(root=tmp_path) == 300


def test_a_container_sees_its_group_at_the_root_of_the_mount(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/docker/0123abcd")
    v2(tmp_path, "", 1000, 300)
    assert memory_left(root=tmp_path) == 700


def test_a_path_does_not_lead_out_of_the_mount(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/../other")
    v2(tmp_path, "../other", 10, 0)
    v2(tmp_path, "", 1000, 300)
    assert memory_left(root=tmp_path) == 700


def test_version_1(tmp_path: Path) -> None:
    belongs_to(tmp_path, "12:cpu,cpuacct:/elsewhere", "4:hugetlb,memory:/jobs/a:b", "1:name=memory:/named", "0::/")
    v1(tmp_path, "elsewhere", 10, 0)
    v1(tmp_path, "named", 10, 0)
    v1(tmp_path, "jobs/a:b", NO_LIMIT_V1, 100)
    v1(tmp_path, "jobs", 1000, 900, 200)
    v1(tmp_path, "", NO_LIMIT_V1, 4000)
    assert memory_left(root=tmp_path) == 300
    v1(tmp_path, "jobs/a:b", 250, 100)
    assert memory_left(root=tmp_path) == 150


def test_what_is_not_there_or_cannot_be_read_limits_nothing(tmp_path: Path) -> None:
    assert memory_left(root=tmp_path) is None
    belongs_to(tmp_path, "0::/job", "no such line")
    assert memory_left(root=tmp_path) is None
    folder = v2(tmp_path, "job", "max", 100)
    assert memory_left(root=tmp_path) is None
    v2(tmp_path, "job", 1000, 300)
    assert memory_left(root=tmp_path) == 700
    (folder / "memory.stat").write_text("one two three\n")
    assert memory_left(root=tmp_path) is None
    (folder / "memory.stat").unlink()
    assert memory_left(root=tmp_path) is None
    (tmp_path / "proc/self/cgroup").write_bytes(b"0::/\xff\n")
    assert memory_left(root=tmp_path) is None


@pytest.mark.parametrize(("left", "free"), [(None, 500), (300, 300), (0, 0), (700, 500)])
def test_free_memory_is_within_the_limits(left: int | None, free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: SimpleNamespace(available=500))
    monkeypatch.setattr(devices, "memory_left", lambda: left)
    assert devices.free_memory(torch.device("cpu")) == free
    assert devices.free_memory(torch.device("meta")) is None
