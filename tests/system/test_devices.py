"""Sizes of memory as a user writes them, and limits of control groups, read from made-up folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.commands import Said
from support.protocols import protocol_of

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import ProtocolOptions
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.system import devices
from nvs_eval.system.devices import memory_left, parse_memory

SCORE = ("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2_000_000_000),
        ("1500MB", 1_500_000_000),
        ("0.5GiB", 2**29),
        (".5 gib", 2**29),
        ("2.GB", 2_000_000_000),
        ("12 kB", 12_000),
        ("3KiB", 3 * 2**10),
        ("1.5TB", 1_500_000_000_000),
        ("2TiB", 2**41),
        # A single letter is a power of 1024, as in other tools.
        ("512M", 2**29),
        ("4g", 2**32),
        ("1000B", 1000),
        (" 1b ", 1),
        ("9" * 400 + "B", int("9" * 400)),
    ],
)
def test_a_size_is_a_number_and_its_unit(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "2000000000",
        "GB",
        "-2GB",
        "0GB",
        "0.4B",
        "2XB",
        "2GBs",
        "2iB",
        "1e9B",
        "infGB",
        "nanMB",
        "1,5GB",
        "2 G B",
    ],
)
def test_invalid_sizes_are_refused(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_memory(text)
    assert str(error.value) == (
        f"--max-memory must be a size above 0 with a unit, such as 2GB, 1500MB or 0.5GiB. Got {text!r}."
    )


# --- The option -----------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Memory limits of the scorers that the test creates."""
    created: list[int | None] = []
    check = Scorer.__post_init__

    def collect(self: Scorer) -> None:
        created.append(self.max_memory)
        check(self)

    monkeypatch.setattr(Scorer, "__post_init__", collect)
    return created


@pytest.mark.usefixtures("here")
def test_the_option_reaches_the_scorer_but_not_the_record_names(
    cli: Callable[..., Said], limits: list[int | None]
) -> None:
    for options in ((), ("--max-memory", "0.5GiB", "--overwrite")):
        assert cli(*SCORE, *options).code == 0
    record = "nvs-eval-results/garden/ours/final"
    assert cli("rescore", record, "--protocol", "light.yaml", "--overwrite", "--max-memory", "2GB").code == 0
    assert limits == [None, 2**29, 2_000_000_000]
    assert len(list(Path(record).glob("*.json"))) == 1


@pytest.mark.usefixtures("here")
def test_a_suite_takes_the_limit_from_its_file_or_the_command(
    cli: Callable[..., Said], limits: list[int | None]
) -> None:
    text = "scenes: [garden]\nprotocol: light.yaml\nmax_memory: 3GB\n"
    text += "methods: {ours: {score: '{scene}/ours', reference: '{scene}/gt'}}\n"
    Path("suite.yaml").write_text(text, encoding="utf-8")
    assert cli("suite", "suite.yaml").code == 0
    assert cli("suite", "suite.yaml", "--overwrite", "--max-memory", "4GB").code == 0
    assert limits == [3 * 10**9, 4 * 10**9]
    wrong = cli("suite", "suite.yaml", "--max-memory", "4")
    assert (wrong.code, limits[2:]) == (2, [])
    assert "--max-memory must be a size above 0" in wrong.err
    assert "Got '4'." in wrong.err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("max_memory", "size"), [(None, None), (123_456_789, 123_456_789), ("2GB", 2 * 10**9)])
def test_the_argument_is_bytes_or_a_string(max_memory: Any, size: int | None, limits: list[int | None]) -> None:
    nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml", max_memory=max_memory)
    assert limits == [size]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("max_memory", "message"),
    [
        ("2", r"^--max-memory must be a size above 0 .*Got '2'\.$"),
        (0, r"^--max-memory must be a size above 0 .*Got '0B'\.$"),
        (-5, r"^--max-memory must be a size above 0 .*Got '-5B'\.$"),
        (2.5, "^max_memory must be a whole number, a string or None. Got 2.5.$"),
        (True, "^max_memory must be a whole number, a string or None. Got True.$"),
    ],
)
def test_an_invalid_argument_is_refused(max_memory: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml", max_memory=max_memory)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("options", [("--max-memory", "2"), ("--max-memory", "lots")])
def test_the_command_refuses_an_invalid_size(options: tuple[str, str], refused: Callable[..., str]) -> None:
    assert refused(*SCORE, *options).endswith(f"Got {options[1]!r}.")


def test_the_limit_is_not_part_of_a_protocol() -> None:
    options = ProtocolOptions(max_memory="1GB")
    protocol = protocol_of("""{name: a, alpha: drop, colour_correction: none, out_of_range: clamp, region: full,
        quantise: {render: none, reference: none, mask: none}, crop: 0, mask: none, metrics: {mae: {}},
        round_means: null}""")
    scorer = options.scorer([protocol])
    assert (scorer.max_memory, scorer.device.type) == (10**9, "cuda" if torch.cuda.is_available() else "cpu")
    assert [scored.fingerprint for scored in scorer.protocols] == [protocol.fingerprint]


# --- Control groups -------------------------------------------------------------------------------------------------

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


def test_cached_files_count_as_free(tmp_path: Path) -> None:
    belongs_to(tmp_path, "0::/")
    v2(tmp_path, "", 1000, 990, 600)
    assert memory_left(root=tmp_path) == 610
    v2(tmp_path, "", 1000, 300, 400)  # The counters are not read atomically; the result must not exceed the limit.
    assert memory_left(root=tmp_path) == 1000
    v2(tmp_path, "", 1000, 1500, 400)
    assert memory_left(root=tmp_path) == 0


def test_the_smallest_limit_of_a_group_and_its_ancestors_applies(tmp_path: Path) -> None:
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


def test_a_path_outside_the_mount_is_ignored(tmp_path: Path) -> None:
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


def test_missing_or_unreadable_files_set_no_limit(tmp_path: Path) -> None:
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
