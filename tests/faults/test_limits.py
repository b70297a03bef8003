"""Messages at limits: too little space, names that are too long, and output paths that are files."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import protocol_file, variant

from nvs_eval.errors import InputError
from nvs_eval.system.space import check_space, in_units, too_little

LONG = "n" * 300
# Fewer characters, but more bytes than a file name can have.
WIDE = "é" * 190
SCORE = ("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml")
RUN = ("run", "--load-config", "config.yml", "--protocol", "light.yaml")

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1, "1 byte"), (999, "999 bytes"), (1000, "1.0 kB"), (45_600_000, "45.6 MB"), (2**31, "2.1 GB")],
)
def test_small_sizes_are_not_zero(size: int, text: str) -> None:
    assert in_units(size) == text


@pytest.mark.parametrize(
    ("needed", "free", "texts"),
    [
        (2_000_000, 1_000_000, ("2.0 MB", "1.0 MB")),
        (47_910_000, 47_900_000, ("47.91 MB", "47.90 MB")),
        (1_000_000_001, 1_000_000_000, ("1000000001 bytes", "1000000000 bytes")),
        (1, 0, ("1 byte", "0 bytes")),
    ],
)
def test_sizes_that_differ_are_shown_apart(needed: int, free: int, texts: tuple[str, str]) -> None:
    assert too_little(needed, free) == texts


def test_a_full_disk_is_found_before_rendering(monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=12))
    with pytest.raises(InputError) as error:
        check_space(34, Path("out"))
    pinned("run", error.value)


@pytest.mark.parametrize("option", ["--scene", "--method"])
@pytest.mark.parametrize("command", [SCORE, RUN], ids=["score", "run"])
def test_a_name_that_is_too_long_is_found_first(
    command: tuple[str, ...], option: str, refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    pinned(command[0], refused(*command, option, LONG))
    assert opener.rendered == []


def test_a_view_whose_name_is_too_long_is_found_before_rendering(
    refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    opener.given[:] = [FakeCheckpoint(1, views=("a", f"cam0/{LONG}"))]
    pinned("run", refused(*RUN))
    assert opener.rendered == []


@pytest.mark.parametrize("command", [SCORE, RUN], ids=["score", "run"])
def test_a_protocol_whose_name_is_too_long_is_found_first(
    command: tuple[str, ...], here: Path, refused: Callable[..., str], opener: Opener, pinned: Pinned
) -> None:
    protocol_file(here, variant(name=WIDE))
    pinned(command[0], refused(*command))
    assert opener.rendered == []


def test_a_scene_whose_name_is_too_long_is_found_before_any_scene_is_scored(
    here: Path, refused: Callable[..., str], pinned: Pinned
) -> None:
    (here / "suite.yaml").write_text(
        f"scenes: [garden, {WIDE}]\nprotocol: light.yaml\n"
        "methods:\n  ours: {score: '{scene}/ours', reference: '{scene}/gt'}\n"
    )
    pinned("suite", refused("suite", "suite.yaml"))


@pytest.mark.parametrize("place", ["out", "out/garden", "out/fox/fake"])
@pytest.mark.parametrize("command", [SCORE, RUN], ids=["score", "run"])
def test_an_output_path_that_is_a_file_is_found_first(
    command: tuple[str, ...], place: str, cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    if (command is SCORE) == ("fox" in place) and place != "out":
        place = {"out/garden": "out/fox", "out/fox/fake": "out/garden/ours"}[place]
    Path(place).parent.mkdir(parents=True, exist_ok=True)
    Path(place).write_text("mine")
    result = cli(*command, "--output-dir", "out")
    assert (result.code, result.out, Path(place).read_text()) == (2, "", "mine")
    pinned(command[0], result.err)
    assert opener.rendered == []


@pytest.mark.parametrize(
    ("command", "output"),
    [("table", "made/x.csv"), ("curve", "made/x.png"), ("export", "made/x")],
)
def test_the_output_of_other_commands_may_not_be_below_a_file(
    command: str, output: str, cli: Callable[..., Said], pinned: Pinned
) -> None:
    assert cli(*SCORE, "--output-dir", "out").code == 0
    Path("made").write_text("mine")
    record = next(str(path) for path in Path("out").rglob("*.json"))
    options = ("--as", "ns-eval") if command == "export" else ()
    result = cli(command, record, *options, "--output", output)
    assert (result.code, Path("made").read_text()) == (2, "mine")
    pinned(command, result.err)
