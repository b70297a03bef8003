"""An interrupted command goes on at its view, and its record equals that of an undisturbed one."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.pinned import Pinned
from support.protocols import FLOAT, IGNORING, LIGHT, protocol_file
from support.scenes import files_below, float_image, image, write_garden, write_images, write_masks, write_pngs

from nvs_eval.evaluation import partial
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import RescoreOptions, ScoreOptions
from nvs_eval.evaluation.rescoring import rescore
from nvs_eval.evaluation.score_folders import score_folders
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.records.record import Record
from nvs_eval.records.signatures import NEUTRAL
from nvs_eval.system import journal

NAMES = ("0001", "0002", "0003", "0004")


class Counted:
    """Counts the views that are scored, and interrupts before the view at an index."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.names: list[str] = []
        self.stop_at: int | None = None
        outcomes = Scorer.outcomes

        def counted(scorer: Scorer, view: Any) -> Any:
            if len(self.names) == self.stop_at:
                raise KeyboardInterrupt
            self.names.append(view.name)
            return outcomes(scorer, view)

        monkeypatch.setattr(Scorer, "outcomes", counted)

    def interrupt(self, command: Callable[[], object], at: int) -> None:
        self.names, self.stop_at = [], at
        with pytest.raises(KeyboardInterrupt):
            command()
        self.names, self.stop_at = [], None


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def garden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for text, name in ((LIGHT, "light"), (FLOAT, "float"), (IGNORING, "ignoring")):
        protocol_file(tmp_path, text, f"{name}.yaml")
    return write_garden(tmp_path / "garden", NAMES)


def options(out: str, *protocols: str, **more: Any) -> ScoreOptions:
    renders = (Path("garden/ours"), Path("garden/theirs"))
    files = tuple(f"{name}.yaml" for name in protocols or ("light", "float"))
    return ScoreOptions(renders=renders, reference=Path("garden/gt"), protocol=files, output_dir=Path(out), **more)


def without_times(records: Sequence[Record]) -> list[Record]:
    return [replace(one, provenance={**one.provenance, "started": "", "seconds": 0}) for one in records]


def messages(said: list[str]) -> Callbacks:
    return Callbacks(say=said.append, warn=said.append)


@pytest.mark.parametrize("at", range(4))
def test_interrupted_score_goes_on_at_its_view(at: int, garden: Path, counted: Counted, pinned: Pinned) -> None:
    undisturbed = score_folders(options("undisturbed"), Callbacks())
    counted.interrupt(lambda: score_folders(options("out"), Callbacks()), at)
    assert len(list(Path("out").rglob(".partial/*.jsonl"))) == (4 if at else 0)
    said: list[str] = []
    records = score_folders(options("out"), messages(said))
    assert tuple(counted.names) == NAMES[at:]
    assert without_times(records) == without_times(undisturbed)
    assert files_below(Path("out")) == files_below(Path("undisturbed"))
    pinned("score", "\n".join(line for line in said if not line.startswith("Record")))


def test_interrupted_rescore_goes_on_at_its_view(garden: Path, counted: Counted) -> None:
    score_folders(options("out", "light"), Callbacks())
    chosen = RescoreOptions(records=("out",), protocol=("float.yaml",))
    undisturbed = [record for _, record in rescore(replace(chosen, output_dir=Path("undisturbed")), Callbacks())]
    counted.interrupt(lambda: rescore(chosen, Callbacks()), 3)
    records = [record for _, record in rescore(chosen, Callbacks())]
    assert counted.names == ["0004"]
    assert [record.views for record in without_times(records)] != []
    assert [[row.scores for row in record.views] for record in records] == [
        [row.scores for row in record.views] for record in undisturbed
    ]
    assert not list(Path("out").rglob(".partial"))


def test_neutral_steps_of_views_before_the_interruption_count(garden: Path, counted: Counted) -> None:
    write_images(garden / "ours", {"0001": float_image(10)}, "npy")
    (garden / "ours" / "0001.png").unlink()
    counted.interrupt(lambda: score_folders(options("out"), Callbacks()), 2)
    records = {one.method: one for one in score_folders(options("out"), Callbacks()) if "light" in one.protocol["name"]}
    assert {name: set(NEUTRAL) - set(one.neutral) for name, one in records.items()} == {
        "ours": {"q-render"},
        "theirs": set(),
    }


def test_each_view_is_keyed_by_its_content(garden: Path, counted: Counted, pinned: Pinned) -> None:
    counted.interrupt(lambda: score_folders(options("out"), Callbacks()), 3)
    write_pngs(garden / "theirs", {"0002": 77})
    os.utime(garden / "ours" / "0001.png", (1, 1))  # The date of a file does not count.
    said: list[str] = []
    records = score_folders(options("out"), messages(said))
    assert counted.names == ["0002", "0004"]
    assert without_times(records) == without_times(score_folders(options("undisturbed"), Callbacks()))
    pinned("score", "\n".join(line for line in said if not line.startswith("Record")))


@pytest.mark.parametrize("change", ["version", "moved", "overwrite"])
def test_scores_of_other_inputs_are_not_used(
    change: str, garden: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted.interrupt(lambda: score_folders(options("out"), Callbacks()), 3)
    again = options("out", overwrite=change == "overwrite")
    if change == "version":
        monkeypatch.setattr(partial, "scoring_provenance", lambda *_: {"nvs_eval": "0.2.0"})
    if change == "moved":
        garden.rename("moved")
        renders, reference = (Path("moved/ours"), Path("moved/theirs")), Path("moved/gt")
        again = replace(again, renders=renders, reference=reference, scene="garden")
    records = score_folders(again, Callbacks())
    assert tuple(counted.names) == NAMES
    for record in records:
        folder = Path("out") / record.id.folder
        assert all(
            (folder / str(row.render)).is_file() and (folder / str(row.reference)).is_file() for row in record.views
        )


@pytest.mark.parametrize("tail", [b'{"name": "0003", "im', b"\x00\x00\x00\x00", b'{"name": "0003"}\n', b"\n\n"])
def test_damaged_last_line_is_dropped(tail: bytes, garden: Path, counted: Counted) -> None:
    undisturbed = score_folders(options("undisturbed"), Callbacks())
    counted.interrupt(lambda: score_folders(options("out"), Callbacks()), 2)
    for file in Path("out").rglob("*.jsonl"):
        file.write_bytes(file.read_bytes() + tail)
    records = score_folders(options("out"), Callbacks())
    assert counted.names == ["0003", "0004"]
    assert without_times(records) == without_times(undisturbed)


def test_first_line_states_what_goes_in(garden: Path, counted: Counted) -> None:
    counted.interrupt(lambda: score_folders(options("out", "light"), Callbacks()), 1)
    file = next(Path("out/garden/ours/final/.partial").glob("light-*.jsonl"))
    header, line = map(json.loads, file.read_text().splitlines())
    assert header["result"]["method"] == "ours" and header["protocol"]["name"] == "light"
    assert {"nvs_eval", "versions", "device", "weights", "precision"} <= header.keys()
    assert header["inputs"]["reading"]["grey_to_rgb"] is False
    assert (line["name"], line["row"]["name"], len(line["images"])) == ("0001", "0001", 64)


@pytest.mark.parametrize(("masks", "again"), [(None, ["0004"]), ("masks", ["0003", "0004"])])
def test_infinite_failed_and_skipped_views_are_kept(
    masks: str | None, again: list[str], garden: Path, counted: Counted
) -> None:
    for part in ("ours", "gt"):
        write_images(garden / part, {"0001": image(1)})
    damaged = garden / "theirs" / "0003.png"
    content = bytearray(damaged.read_bytes())
    content[200:250] = bytes(50)
    damaged.write_bytes(content)
    write_masks(Path("masks"), {"0001": 1.0, "0002": 0.0, "0003": 0.5, "0004": 0.5})
    names = ("light", "ignoring") if masks is None else ("light",)
    chosen = options("out", *names, masks=masks and Path(masks))
    undisturbed = score_folders(replace(chosen, output_dir=Path("undisturbed")), Callbacks())
    counted.interrupt(lambda: score_folders(chosen, Callbacks()), 3)
    warned: list[str] = []
    records = score_folders(chosen, Callbacks(warn=warned.append))
    assert counted.names == again
    assert without_times(records) == without_times(undisturbed)
    assert len([line for line in warned if "0003" in line]) == 1


def test_scores_without_partial_results_are_complete(
    garden: Path, counted: Counted, monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    real = journal.Journal.append
    calls: list[bytes] = []

    def full(self: journal.Journal, line: bytes) -> None:
        calls.append(line)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, line)

    monkeypatch.setattr(journal.Journal, "append", full)
    said: list[str] = []
    records = score_folders(replace(options("out", "light"), renders=(Path("garden/ours"),)), messages(said))
    assert [len(record.views) for record in records] == [4]
    assert not list(Path("out").rglob(".partial"))
    pinned("score", "\n".join(line for line in said if not line.startswith("Record")))


@pytest.fixture
def old_files(garden: Path) -> Iterator[list[Path]]:
    folder = Path("out/garden/ours/final/.partial")
    folder.mkdir(parents=True)
    files = [folder / "old-00000000.jsonl", folder / "new-00000000.jsonl"]
    for file in files:
        file.touch()
    os.utime(files[0], (1, 1))
    yield files


def test_partial_results_that_nobody_continued_are_removed(old_files: list[Path]) -> None:
    score_folders(options("out", "light"), Callbacks())
    assert [file.exists() for file in old_files] == [False, True]


def test_partial_results_of_a_record_end_when_it_is_written(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def count(said: str) -> None:
        if said.startswith("Record:"):
            left.append(len([*Path("out").rglob("*.jsonl")]))

    score_folders(replace(options("out"), renders=(Path("garden/ours"), Path("garden/theirs"))), Callbacks(say=count))
    assert left == [4, 3, 2, 1]
    assert [*Path("out").rglob("*.jsonl")] == []
