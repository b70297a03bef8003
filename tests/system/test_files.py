"""Files are written atomically, through links, and never over a folder or a device."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.commands import Said
from support.records import record

from nvs_eval.errors import InputError
from nvs_eval.records.record import write_record
from nvs_eval.system.files import check_folder_writable, check_writable, write_whole


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: str, content: bytes = b"new") -> None:
    write_whole(Path(path), lambda file: file.write(content))


def names() -> list[str]:
    return sorted(path.as_posix() for path in Path().rglob("*"))


@pytest.mark.parametrize("target", ["far/old", "../far/old"])
def test_the_target_of_a_link_is_replaced(target: str) -> None:
    Path("near").mkdir()
    Path("far").mkdir()
    Path("far/old").write_bytes(b"old")
    link = Path("link" if target == "far/old" else "near/link")
    link.symlink_to(target)
    Path("second").symlink_to(link)
    before = names()
    check_writable(Path("second"))
    write("second")
    assert link.is_symlink()
    assert Path("second").is_symlink()
    assert Path("far/old").read_bytes() == b"new"
    assert names() == before


def test_the_target_of_a_link_is_created() -> None:
    Path("link").symlink_to("new folder/file")
    check_writable(Path("link"))
    assert names() == ["link"]
    write("link")
    assert Path("new folder/file").read_bytes() == b"new"


def test_a_cycle_of_links_is_refused() -> None:
    Path("a").symlink_to("b")
    Path("b").symlink_to("a")
    for attempt in (check_writable, lambda path: write(str(path))):
        with pytest.raises(InputError, match=r"^a cannot be written: .*levels of symbolic links"):
            attempt(Path("a"))
    assert names() == ["a", "b"]


@pytest.mark.parametrize("through_a_link", [False, True])
def test_folders_and_pipes_are_never_replaced(through_a_link: bool) -> None:
    Path("folder").mkdir()
    os.mkfifo("pipe")
    for name, kind in (("folder", "a folder"), ("pipe", "a device, a pipe or the like")):
        path = Path(name)
        if through_a_link:
            path = Path(f"to-{name}")
            path.symlink_to(name)
        before = names()
        for attempt in (check_writable, lambda path: write(str(path))):
            with pytest.raises(InputError, match=rf"^{path} cannot be written: it is {kind}\. Choose"):
                attempt(path)
        assert names() == before
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_a_device_is_refused_before_a_temporary_file_is_created(monkeypatch: pytest.MonkeyPatch) -> None:
    # A user who may write to /dev would lose the device.
    monkeypatch.setattr(os, "replace", lambda *_, **__: pytest.fail("it was replaced"))
    with pytest.raises(InputError, match=f"^{os.devnull} cannot be written: it is a device"):
        write(os.devnull)


def test_the_check_leaves_nothing_behind() -> None:
    Path("old").write_bytes(b"old")
    check_writable(Path("old"))
    check_writable(Path("a/b/c"))
    assert names() == ["old"]
    assert Path("old").read_bytes() == b"old"
    with pytest.raises(InputError, match=r"^old/file cannot be written: .*Choose another folder"):
        check_writable(Path("old/file"))


def test_the_umask_is_applied_and_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            # The umask is global to the process: files of other threads would be writable by everybody meanwhile.
            patch.setattr(os, "umask", lambda mask: pytest.fail("the umask was changed"))
            write("file")
        assert stat.S_IMODE(Path("file").stat().st_mode) == 0o640
    finally:
        os.umask(before)


def test_a_failed_write_leaves_the_old_file_alone() -> None:
    Path("file").write_bytes(b"old")

    def fill_the_disk(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"^file cannot be written: .*No space left"):
        write_whole(Path("file"), fill_the_disk)
    assert names() == ["file"]
    assert Path("file").read_bytes() == b"old"


# --- Check of a folder ------------------------------------------------------------------------------------------------


def test_a_folder_check_creates_and_removes_nothing() -> None:
    Path("empty").mkdir()
    Path("file").write_bytes(b"old")
    for folder in ("empty", "empty/a/b", "new/deep"):
        check_folder_writable(Path(folder))
    assert names() == ["empty", "file"]


@pytest.mark.parametrize("output", ["file", "file/below", "nowhere", "nowhere/below"])
def test_a_path_that_cannot_be_a_folder_is_refused(output: str) -> None:
    Path("file").write_bytes(b"old")
    Path("nowhere").symlink_to("missing")
    # Only the reason, without the random name of the temporary file.
    with pytest.raises(InputError, match=rf"^{output} cannot be written: [A-Za-z ]+\. Choose another folder"):
        check_folder_writable(Path(output))
    assert names() == ["file", "nowhere"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission_is_refused() -> None:
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match=r"^closed/new cannot be written: .*Permission denied"):
        check_folder_writable(Path("closed/new"))


CHECK_AND_WRITE = """
import sys
from pathlib import Path
from nvs_eval.system.files import check_folder_writable, write_whole
print("ready", flush=True)
sys.stdin.readline()
for repetition in range(100):
    shared = Path(f"new/{repetition}/shared")
    check_folder_writable(shared)
    write_whole(shared / sys.argv[1], lambda file: file.write(b"result"))
"""


def test_eight_processes_check_and_fill_one_new_folder() -> None:
    command = [sys.executable, "-c", CHECK_AND_WRITE]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    jobs = [subprocess.Popen([*command, str(n)], env=environment, text=True, **pipes) for n in range(8)]
    for job in jobs:
        assert job.stdout is not None and job.stdout.readline() == "ready\n"
    for job in jobs:
        assert job.stdin is not None
        job.stdin.write("go\n")
        job.stdin.flush()
    assert [(*job.communicate(), job.returncode) for job in jobs] == [("", "", 0)] * 8
    files = [name for name in names() if Path(name).is_file()]
    assert files == sorted(f"new/{repetition}/shared/{number}" for repetition in range(100) for number in range(8))


# --- Commands ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("records", "records cannot be written: it is a folder. Choose another name."),
        ("records/a.json/table.csv", "records/a.json/table.csv cannot be written: "),
        (os.devnull, f"{os.devnull} cannot be written: it is a device, a pipe or the like."),
    ],
)
def test_an_unwritable_output_is_noticed_before_records_are_read(
    output: str, message: str, options: tuple[str, ...], refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_record(Path("records/a.json"), record())
    monkeypatch.setattr("nvs_eval.records.files.read_record_files", lambda *_, **__: pytest.fail("they were read"))
    assert refused("table", "records", "--output", output, *options).startswith(message)


def test_a_table_is_written_through_a_link(cli: Callable[..., Said]) -> None:
    write_record(Path("records/a.json"), record())
    Path("old.txt").write_bytes(b"old")
    Path("latest.txt").symlink_to("old.txt")
    assert cli("table", "records", "--output", "latest.txt").code == 2
    assert cli("table", "records", "--output", "latest.txt", "--overwrite").code == 0
    assert Path("latest.txt").is_symlink()
    assert Path("old.txt").read_text(encoding="utf-8").startswith("fox, test views")
