"""The command line from the outside: its output, its files and its errors for wrong input."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from PIL import Image
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.pinned import Pinned
from support.protocols import FLOAT, LIGHT, UNIFORM, protocol_file, variant
from support.scenes import HEIGHT, NAMES, WIDTH, files_below, fill, flat, image, write_garden, write_images

from nvs_eval.cli import main
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.metrics.weights.backbones import find_backbone
from nvs_eval.records.record import read_record

pytestmark = pytest.mark.usefixtures("here")

ENTRY_POINTS = "nvs_eval.system.plugins.entry_points"
SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")
FINGERPRINT = re.compile(r"\([0-9a-f]{8}\)")

# PSNR: 20 log10(255 / 51) = 13.98, inf for the identical pair, and 20 log10(255 / 30) = 18.59 twice. SSIM of constant
# greys a and b is (2ab + 0.0001) / (a^2 + b^2 + 0.0001): 0.92309, 1, 0.96767 and 0.90184 for the four pairs.
TABLE = """\
garden, test views
method  PSNR [dB] ↑  SSIM ↑  views
──────────────────────────────────
ours            inf   0.962      2
theirs        18.59   0.935      2
protocol light (FINGERPRINT)
psnr|range:1|q:round8|mask:valid-pixels|v1
ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|q:round8|mask:valid-pixels|v1
ours: PSNR is inf: view 0002 equals its reference

"""
PER_VIEW = """\
garden, test views
view  method  PSNR [dB] ↑  SSIM ↑
─────────────────────────────────
0001  ours          13.98   0.923
0002  ours            inf   1.000
0001  theirs        18.59   0.968
0002  theirs        18.59   0.902
protocol light (FINGERPRINT)
psnr|range:1|q:round8|mask:valid-pixels|v1
ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|q:round8|mask:valid-pixels|v1
ours: PSNR is inf: view 0002 equals its reference

"""


def masked(text: str) -> str:
    return FINGERPRINT.sub("(FINGERPRINT)", text)


# --- Output ---------------------------------------------------------------------------------------------------------


def test_score_prints_only_the_table_to_stdout(cli: Callable[..., Said]) -> None:
    result = cli(*SCORE)
    assert result.code == 0
    assert masked(result.out) == TABLE
    assert re.sub(r"-[0-9a-f]{8}\.json", "-FINGERPRINT.json", result.err) == (
        "Scoring 2 x 2 views: 2 of 2\n"
        "Record: nvs-eval-results/garden/ours/final/light-FINGERPRINT.json\n"
        "Record: nvs-eval-results/garden/theirs/final/light-FINGERPRINT.json\n"
        "To look at the images: nvs-eval report nvs-eval-results\n"
    )


def test_per_view_adds_one_row_per_view(cli: Callable[..., Said]) -> None:
    assert masked(cli(*SCORE, "--per-view").out) == TABLE + PER_VIEW


def test_output_to_a_file_has_no_colour_even_if_forced(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    result = cli(*SCORE)
    assert masked(result.out) == TABLE
    assert "\x1b" not in result.err
    assert "\x1b" not in cli("weights", "--weights-dir", ".").out


def test_output_to_a_file_is_neither_wrapped_nor_truncated(
    cli: Callable[..., Said], refused: Callable[..., str]
) -> None:
    name = "a-method-of-a-very-long-name-" * 8
    assert f"{name}/missing does not exist" in refused("score", f"garden/{name}/missing", "--protocol", "light.yaml")
    shutil.move("garden/ours", f"garden/{name}")
    result = cli("score", f"garden/{name}", "--reference", "garden/gt", "--protocol", "light.yaml")
    assert f"\n{name}  " in result.out
    assert f"Record: nvs-eval-results/garden/{name}/final/light-" in result.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 50])
def test_the_table_fits_a_terminal_and_the_best_is_bold(
    columns: int, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli(*SCORE, "--method", "ours", "theirs-with-a-name-that-is-longer-than-a-line-of-fifty-columns-allows")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["table", "nvs-eval-results"]) == 0
    text = terminal.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert max(map(len, plain.splitlines())) <= columns
    assert re.findall(r"(?:\d+\.\d+|inf)(?= |$)", plain, re.MULTILINE) == ["inf", "0.962", "18.59", "0.935"]
    assert re.findall(r"\x1b\[1m *([\w.]+)\x1b\[0m", text)[-2:] == ["inf", "0.962"]


@pytest.mark.parametrize(("mark", "styled"), [("none", False), ("bold", True), ("colour", True)])
def test_mark_none_marks_nothing_in_a_terminal(
    mark: str, styled: bool, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli(*SCORE)
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    assert main(["table", "nvs-eval-results", "--mark", mark]) == 0
    assert bool(re.search(r"\x1b\[1m *0\.962", terminal.getvalue())) == styled
    assert bool(re.search(r"\x1b\[4m *0\.935", terminal.getvalue())) == styled
    assert "0.962" in terminal.getvalue()


def test_paths_are_printed_unchanged(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    assert "no:100:folder[bold]" in refused(
        "score", "no:100:folder[bold]", "--reference", "x", "--protocol", "light.yaml"
    )
    result = cli(*SCORE, "--output-dir", "out:100:[/red]")
    assert "Record: 'out:100:[/red]/garden/ours/final/light-" in result.err


def test_progress_shows_any_name_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.cli.console import progress

    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("Rendering fox/[/not markup]", 2) as advance:
        advance()
        advance()
    assert "[/not markup]" in terminal.getvalue()


def test_progress_in_a_log_shows_the_time_left_and_becomes_rarer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nvs_eval.cli.console import progress

    now = 0.0
    monkeypatch.setattr("nvs_eval.cli.console.time.monotonic", lambda: now)
    with progress("Scoring", 100_000) as advance:
        for _ in range(100_000):
            now += 4.0
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["Scoring: 3 of 100000, about 4 days 15 h left", "Scoring: 9 of 100000, about 4 days 15 h left"]
    assert lines[-2] == "Scoring: 99894 of 100000, about 7 min left"
    assert any(" h " in line and line.endswith(" min left") for line in lines)
    assert lines[-1] == "Scoring: 100000 of 100000"
    assert len(lines) < 750


def test_progress_in_a_log_is_silent_before_the_first_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nvs_eval.cli.console import progress_to

    now = 0.0
    monkeypatch.setattr("nvs_eval.cli.console.time.monotonic", lambda: now)
    with progress_to("Training") as reached:
        now = 1000.0
        reached(0, 10)
        reached(1, 10)
    assert capsys.readouterr().err == "Training: 1 of 10, about 2 h 30 min left\n"


# --- Records --------------------------------------------------------------------------------------------------------


def test_score_writes_a_record_with_full_provenance(cli: Callable[..., Said]) -> None:
    cli(*SCORE, "--scene", "s", "--method", "mine", "b", "--output-dir", "out")
    (file,) = Path("out/s/mine/final").glob("*.json")
    record = read_record(file)
    assert (record.scene, record.method, record.run, record.step, record.split) == ("s", "mine", None, None, "test")
    assert record.means["ssim"] == pytest.approx((0.4801 / 0.5201 + 1) / 2, abs=1e-7)
    (first, second) = record.views
    assert (first.name, first.width, first.height, first.coverage) == ("0001", WIDTH, HEIGHT, None)
    assert second.scores["psnr"] == float("inf")
    assert first.render == "../../../../garden/ours/0001.png"
    assert (file.parent / first.render).resolve() == Path("garden/ours/0001.png").resolve()
    assert first.reference == "../../../../garden/gt/0001.png"
    provenance = record.provenance
    assert list(provenance) == [
        *("nvs_eval", "versions", "device", "command", "started", "seconds"),
        *("checkpoint_sha256", "config_sha256", "reading", "weights", "tf32", "precision"),
        "inputs_sha256",
    ]
    lines = {
        kind: "".join(
            f"{name} {sha256(Path('garden', kind, f'{name}.png').read_bytes()).hexdigest()}\n" for name in NAMES
        )
        for kind in ("ours", "gt")
    }
    hashes = {kind: sha256(text.encode()).hexdigest() for kind, text in lines.items()}
    assert provenance["inputs_sha256"] == {"renders": hashes["ours"], "references": hashes["gt"]}
    assert provenance["command"] == ["nvs-eval", "as", "given"]
    assert provenance["versions"]["torch"] == version("torch")
    assert (provenance["device"], provenance["weights"], provenance["tf32"]) == ("cpu", {}, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", provenance["started"])
    assert files_below(Path("out")) == [f"s/b/final/{file.name}", f"s/mine/final/{file.name}"]


def test_each_protocol_has_its_own_record_and_a_column_of_the_table(cli: Callable[..., Said], here: Path) -> None:
    named = variant(FLOAT, metrics={"ssim": UNIFORM})
    protocol_file(here, named, "float.yaml")
    result = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml")
    assert re.findall(r"protocol (.*) \(", result.out) == ["light + float"]
    assert len(list(Path("nvs-eval-results/garden/ours/final").glob("*.json"))) == 2
    again = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "./light.yaml")
    assert re.findall(r"protocol (\w+)", again.out) == ["light"]


@pytest.mark.parametrize("how", ["quadratic", "affine"])
def test_corrected_scores_are_added_to_the_plain_ones(how: str, cli: Callable[..., Said]) -> None:
    write_garden(Path("garden"))
    # These renders are the references with changed colours, which the fit undoes.
    write_images(Path("garden/theirs"), {view: 0.25 + 0.5 * image(int(view)) for view in NAMES})
    plain = cli(*SCORE)
    result = cli(*SCORE, "--colour-correct", how)
    assert result.code == 0
    header = result.out.splitlines()[1]
    assert re.search(r"PSNR \[dB\] ↑ +SSIM ↑ +cc-PSNR \[dB\] ↑ +cc-SSIM ↑", header)
    assert f"psnr|range:1|cc:{how}|q:round8|mask:valid-pixels|v1" in result.out
    for method in ("ours", "theirs"):
        files = Path(f"nvs-eval-results/garden/{method}/final").glob("*.json")
        records = sorted(map(read_record, files), key=lambda record: len(record.metrics))
        assert [list(record.metrics) for record in records] == [
            *(["psnr", "ssim"], ["psnr", "ssim", "cc_psnr", "cc_ssim"]),
        ]
        before, after = records
        assert {name: after.means[name] for name in before.means} == before.means
        assert before.fingerprint != after.fingerprint
        assert after.means["psnr"] < 20
        assert (after.means["cc_psnr"] > 40) == (method == "theirs")
    assert plain.code == 0


def test_groups_with_different_references_are_scored_in_turn(cli: Callable[..., Said]) -> None:
    for model, level in (("a", 102), ("b", 103)):
        fill(Path(f"{model}/test/ours_7000/gt"), [level, 51])
        fill(Path(f"{model}/test/ours_7000/renders"), [153, 51])
    result = cli("score", "a", "b", "--scene", "s", "--protocol", "light.yaml")
    assert result.code == 0
    assert result.err.count("Scoring 1 x 2 views") == 2
    assert "† b/7000: not comparable with a/7000: different references (1 of 2 views)" in result.out


@pytest.mark.parametrize(
    "args",
    [
        ["nvs-eval-results"],
        ["nvs-eval-results/garden/theirs", "nvs-eval-results/garden/ours"],
        ["nvs-eval-results/*/*/final/light-*.json"],
        ["nvs-eval-results/**/*.json"],
        ["nvs-eval-results/garden/*"],
        ["./nvs-eval-results", "garden/../nvs-eval-results/garden/ours", "nvs-eval-results/**"],
    ],
    ids=["a folder", "folders", "a pattern", "a deep pattern", "a pattern of folders", "duplicates"],
)
def test_table_prints_what_score_printed(args: list[str], cli: Callable[..., Said]) -> None:
    scored = cli(*SCORE, "--per-view")
    assert cli("table", *args, "--per-view") == Said(0, scored.out, "")


def test_table_of_one_record(cli: Callable[..., Said]) -> None:
    cli(*SCORE)
    (file,) = Path("nvs-eval-results/garden/theirs").rglob("*.json")
    result = cli("table", str(file))
    assert masked(result.out) == "".join(
        line for line in TABLE.splitlines(keepends=True) if not line.startswith("ours")
    )
    shutil.move(file, "a record with [brackets].txt")
    assert cli("table", "a record with [brackets].txt").out == result.out


def test_table_sorts_steps_as_numbers(cli: Callable[..., Said]) -> None:
    for step in (7000, 30000, 500):
        fill(Path(f"m/test/ours_{step}/gt"), [102, 51])
        fill(Path(f"m/test/ours_{step}/renders"), [153, 51])
    cli("score", "m", "--protocol", "light.yaml")
    assert re.findall(r"^m +(\d+)", cli("table", "nvs-eval-results").out, re.MULTILINE) == ["500", "7000", "30000"]


def weights_are_here() -> bool:
    return all(find_backbone(net).verified for net in ("alex", "vgg"))


@pytest.mark.skipif(not weights_are_here(), reason="the LPIPS weights of alex and vgg are not in the cache")
def test_the_default_protocol_end_to_end(cli: Callable[..., Said]) -> None:
    result = cli("score", "garden/ours", "garden/theirs", "--reference", "garden/gt")
    assert result.code == 0
    header = result.out.splitlines()[1].split("  ")
    assert [name.strip() for name in header if name] == [
        *("method", "PSNR [dB] ↑", "SSIM ↑", "LPIPS (Alex) ↓", "LPIPS (VGG) ↓", "views"),
    ]
    (file,) = Path("nvs-eval-results/garden/ours").rglob("standard-*.json")
    record = read_record(file)
    assert sorted(record.provenance["weights"]) == ["alex", "vgg"]
    identical = record.views[1].scores
    # Convolutions of one image and of two at once differ in the last bits.
    assert [identical["lpips_alex"], identical["lpips_vgg"]] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert record.means["psnr"] == float("inf")


# --- Wrong input to score -------------------------------------------------------------------------------------------


def test_images_of_different_sizes(refused: Callable[..., str], pinned: Pinned) -> None:
    save_png(Path("garden/ours/0002.png"), torch.zeros(HEIGHT, WIDTH + 2, 3))
    pinned("score", refused(*SCORE))


def test_no_common_names(refused: Callable[..., str], pinned: Pinned) -> None:
    for name in NAMES:
        shutil.move(f"garden/ours/{name}.png", f"garden/ours/r_{name}.png")
    pinned("score", refused(*SCORE))


def test_missing_views_are_an_error_unless_allowed(
    refused: Callable[..., str], cli: Callable[..., Said], pinned: Pinned
) -> None:
    Path("garden/theirs/0001.png").unlink()
    pinned("score", refused(*SCORE))
    result = cli(*SCORE, "--allow-missing")
    assert result.code == 0
    assert "not comparable with ours: different views (2 and 1; only ours has 0001)" in result.out


def test_no_reference(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused("score", "garden/ours", "--protocol", "light.yaml"))


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no image"], ids=["empty", "a signature", "text"])
def test_an_unreadable_image(content: bytes, cli: Callable[..., Said]) -> None:
    Path("garden/theirs/0002.png").write_bytes(content)
    result = cli(*SCORE)
    assert result.code == 3
    message = r"garden/theirs/0002\.png (cannot be read as an image: .+|must be an image \(PNG, .+)"
    first, second, *_ = result.err.splitlines()
    assert re.fullmatch(rf"1 file cannot be read\. Views that need it will not be scored\. {message}", first)
    assert re.fullmatch(rf"View '0002' of garden/theirs was not scored\. {message}", second)


def as_npy(changed: Callable[[torch.Tensor], object]) -> None:
    Path("garden/ours/0002.png").unlink()
    render = flat(51)
    changed(render)
    save_npy(Path("garden/ours/0002.npy"), render)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_render_that_is_not_finite(value: float, cli: Callable[..., Said], pinned: Pinned) -> None:
    as_npy(lambda render: render[3, 4].fill_(value))
    result = cli(*SCORE)
    assert result.code == 3
    pinned("score", result.err.splitlines()[0])


def test_a_render_out_of_range(cli: Callable[..., Said], pinned: Pinned) -> None:
    as_npy(lambda render: render[3, 4].fill_(1.5))
    result = cli(*SCORE)
    assert result.code == 3
    pinned("score", result.err.splitlines()[0])


def test_a_grey_image_needs_an_option(refused: Callable[..., str], cli: Callable[..., Said], pinned: Pinned) -> None:
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    pinned("score", refused(*SCORE))
    assert masked(cli(*SCORE, "--grey-to-rgb").out) == TABLE


def test_an_alpha_channel_needs_a_background(
    refused: Callable[..., str], cli: Callable[..., Said], pinned: Pinned
) -> None:
    # Over black, 255 with an alpha of 51 becomes 51.
    translucent = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    translucent[..., 3] = 51
    iio.imwrite("garden/ours/0002.png", translucent)
    pinned("score", refused(*SCORE))
    assert masked(cli(*SCORE, "--background", "black").out) == TABLE
    assert masked(cli(*SCORE, "--background", "0,0.0,0").out) == TABLE
    assert masked(cli(*SCORE, "--background", "white").out) != TABLE


@pytest.mark.parametrize("background", ["grey", "0,0", "0,0,2", "0,0,nan", "-1,0,0", ""])
def test_an_invalid_background(background: str, refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused(*SCORE, f"--background={background}"))


def test_protocols_with_different_alpha_share_the_decoding(cli: Callable[..., Said], here: Path) -> None:
    protocol_file(here, variant(name="dropping", alpha="drop"), "dropping.yaml")
    translucent = np.full((HEIGHT, WIDTH, 4), 153, np.uint8)
    translucent[..., 3] = 51
    iio.imwrite("garden/ours/0001.png", translucent)
    assert cli(*SCORE, "dropping.yaml", "--background", "white").code == 0
    first = {}
    for file in Path("nvs-eval-results/garden/ours/final").glob("*.json"):
        record = read_record(file)
        first[record.protocol["name"]] = record.views[0].scores["psnr"]
    # 153 with an alpha of 51 over white is 234.6, rounded to 235; the reference is 102.
    assert first == pytest.approx(
        {"dropping": 20 * math.log10(255 / 51), "light": 20 * math.log10(255 / 133)}, abs=1e-5
    )


def test_two_results_of_one_name(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused(*SCORE, "--method", "same", "same"))


def test_fewer_methods_than_folders(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused(*SCORE, "--method", "one"))


def test_a_missing_folder(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused("score", "garden/gone", "--reference", "garden/gt", "--protocol", "light.yaml"))


# --- Wrong protocols ------------------------------------------------------------------------------------------------


def score_with(*protocols: str) -> tuple[str, ...]:
    return "score", "garden/ours", "--reference", "garden/gt", "--protocol", *protocols


def test_an_unknown_protocol_names_the_nearest(refused: Callable[..., str]) -> None:
    message = refused(*score_with("standart"))
    assert message.startswith("Unknown protocol 'standart'. Did you mean 'standard'? Known: ")
    assert re.search(r"Known: .*nerfstudio.*standard\b", message)


@pytest.mark.parametrize(
    ("before", "after", "result"),
    [
        ("  psnr:", "  pnsr:", r"Unknown metric 'pnsr'\. Did you mean 'psnr'\? Known: .*lpips_vgg"),
        ("kernel: valid", "kernel: valld", r"Unknown kernel of ssim 'valld'\. Did you mean 'valid'\?"),
        ("kernel: valid, ", "", r"ssim lacks kernel: there is no default\."),
        (
            "data_range: 1}\n  ssim",
            "range: 1}\n  ssim",
            r"Unknown field of psnr 'range'\. Did you mean 'data_range'",
        ),
        ("crop: 0", "crop: -1", r"crop must be a whole number of at least 0\. Got -1\."),
        ("crop: 0\n", "", r"crop is missing: every field of a protocol must be given\."),
        ("region: full", "regoin: full", r"Unknown field of a protocol 'regoin'\. Did you mean 'region'\?"),
        ("out_of_range: error", "out_of_range: err", r"Unknown out_of_range 'err'\. Did you mean 'error'\?"),
        ("name: light", "name: [", r"is not YAML"),
    ],
)
def test_an_error_names_the_protocol_file_and_the_field(
    before: str, after: str, result: str, refused: Callable[..., str], here: Path
) -> None:
    assert before in LIGHT
    protocol_file(here, LIGHT.replace(before, after, 1), "mine.yaml")
    message = refused(*score_with("mine.yaml")).replace("\n", " ")
    assert message.startswith("The protocol file mine.yaml")
    assert re.search(result, message)


def test_a_missing_protocol_file(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused(*score_with("gone.yaml")))


# --- Wrong places ---------------------------------------------------------------------------------------------------


def test_an_output_folder_that_is_a_file(cli: Callable[..., Said], pinned: Pinned) -> None:
    Path("taken").write_text("in the way")
    result = cli(*SCORE, "--output-dir", "taken")
    assert (result.code, result.out) == (2, "")
    pinned("score", result.err)
    assert Path("taken").read_text() == "in the way"


def test_a_record_that_cannot_be_written_is_an_error_before_scoring(cli: Callable[..., Said]) -> None:
    Path("nvs-eval-results/garden").mkdir(parents=True)
    Path("nvs-eval-results/garden/ours").write_text("in the way")
    result = cli(*SCORE)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "Error: nvs-eval-results/garden/ours/final cannot be written: nvs-eval-results/garden/ours is not a folder. "
        "Choose another folder.\n"
    )
    assert files_below(Path("nvs-eval-results")) == ["garden/ours"]


def missing_device() -> str:
    return "cuda:99" if torch.cuda.is_available() else "cuda"


@pytest.mark.parametrize("device", [missing_device(), "gpu"])
def test_a_missing_device(device: str, refused: Callable[..., str]) -> None:
    message = refused(*SCORE, "--device", device)
    assert message.startswith(f"The device {device!r} ")
    assert "--device cpu" in message


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nMore."), "the graphics card"),
        (MemoryError("Unable to allocate 20 GiB"), "this machine"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "this machine"),
        (RuntimeError("not enough memory: you tried to allocate"), "this machine"),
    ],
    ids=["GPU", "Python", "Linux", "Windows"],
)
def test_out_of_memory_names_the_options_to_lower(
    error: BaseException, where: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    def score(self: Scorer, view: Any) -> Any:
        raise error

    monkeypatch.setattr(Scorer, "outcomes", score)
    message = refused(*SCORE)
    assert message.startswith(f"Out of memory on {where}: {str(error).splitlines()[0]}")
    pinned("score", message)


def test_any_other_error_is_reported_as_a_bug(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def score(self: Scorer, view: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Scorer, "outcomes", score)
    result = cli(*SCORE)
    assert (result.code, result.out) == (70, "")
    assert "\nRuntimeError: a bug\nError: " in result.err


def test_ctrl_c_ends_with_130_and_keeps_finished_work(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    for model, level in (("a", 102), ("b", 103)):
        fill(Path(f"{model}/test/ours_7000/gt"), [level, 51])
        fill(Path(f"{model}/test/ours_7000/renders"), [153, 51])
    score = Scorer.outcomes

    def interrupt(self: Scorer, view: Any) -> Any:
        if torch.equal(view.reference, flat(103)):
            raise KeyboardInterrupt
        return score(self, view)

    monkeypatch.setattr(Scorer, "outcomes", interrupt)
    result = cli("score", "a", "b", "--scene", "s", "--protocol", "light.yaml")
    assert (result.code, result.out) == (130, "")
    assert result.err.splitlines()[-1].startswith("Interrupted. ")
    (file,) = [path for path in Path("nvs-eval-results").rglob("*") if path.is_file()]
    assert read_record(file).method == "a"


# --- Wrong input to the other commands ------------------------------------------------------------------------------


def test_table_of_nothing(refused: Callable[..., str], pinned: Pinned) -> None:
    Path("empty").mkdir()
    for path in ("gone", "empty", "gone/*.json", "gone.json"):
        pinned("table", refused("table", path))


def test_table_of_another_json_file(refused: Callable[..., str], pinned: Pinned) -> None:
    Path("results.json").write_text('{"results": {"psnr": 20}}')
    pinned("table", refused("table", "results.json"))
    Path("results.json").write_text('{"results": ')
    assert refused("table", "results.json").startswith("results.json is not JSON (")


def test_table_of_a_record_that_was_changed(
    refused: Callable[..., str], cli: Callable[..., Said], pinned: Pinned
) -> None:
    cli(*SCORE, "--output-dir", "out")
    (file,) = Path("out/garden/theirs").rglob("*.json")
    plain = json.loads(file.read_text())
    plain["means"]["psnr"] += 1
    file.write_text(json.dumps(plain))
    message = refused("table", "out")
    assert str(file) in message
    pinned("table", re.sub(r"(\.\d\d)\d+", r"\1", message.replace(str(file), "FILE")))
    assert " 19.58" in message


def test_missing_weights(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("weights", refused("weights", "--weights-dir", "gone"))
    assert refused("weights", "--install", "gone.pth").startswith("The weights file gone.pth does not exist.")
    pinned("weights", refused(*score_with("standard"), "--weights-dir", "gone"))


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("scores",),
        ("score", "--no-such-option"),
        ("score", "a", "--exr", "gamma"),
        ("run",),
        ("table", "--per-view"),
    ],
    ids=["no arguments", "no command", "no option", "no choice", "no config", "no record"],
)
def test_wrong_usage_ends_with_2(args: tuple[str, ...], cli: Callable[..., Said]) -> None:
    result = cli(*args)
    assert (result.code, result.out) == (2, "")
    assert result.err != ""
    assert "Traceback" not in result.err


def test_help_ends_with_0(cli: Callable[..., Said]) -> None:
    result = cli("--help")
    assert (result.code, result.err) == (0, "")
    for command in ("run", "score", "audit", "rescore", "table", "inspect", "export", "protocols", "weights", "demo"):
        assert f"{command} " in result.out


# --- run ------------------------------------------------------------------------------------------------------------


RUN = ("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml")


def test_run_renders_scores_writes_and_prints(
    cli: Callable[..., Said], opener: Opener, capsys: pytest.CaptureFixture[str]
) -> None:
    result = cli(*RUN)
    assert result.code == 0
    assert re.findall(r"^fake +base +(\d+) ", result.out, re.MULTILINE) == ["500", "2500"]
    assert result.err.splitlines()[:4] == [
        "Renders take up to 207.4 kB in nvs-eval-results (--keep-renders png).",
        "Rendering fox/fake/base/500: 3 of 3",
        "Rendering fox/fake/base/2500: 3 of 3",
        "Scoring 2 x 3 views: 3 of 3",
    ]
    assert cli("table", "nvs-eval-results").out == result.out
    (call,) = opener.asked
    call.pop("warn")("a warning")
    assert capsys.readouterr().err == "a warning\n"
    assert call == {
        "path": Path("config.yml"),
        "steps": "all",
        "split": "test",
        "views": (),
        "every": 1,
        "data": None,
        "device": torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        "eval_num_rays_per_chunk": None,
        "trust": False,
    }


def test_run_passes_its_options_on(cli: Callable[..., Said], opener: Opener) -> None:
    options = ("--views", "a", "c", "--every", "2", "--data", "moved", "--eval-num-rays-per-chunk", "512")
    names = ("--split", "train", "--device", "cpu", "--scene", "garden", "--method", "mine")
    result = cli(*RUN[:3], "--steps", "500", "2500", "--protocol", "light.yaml", *options, *names)
    assert result.code == 0
    (call,) = opener.asked
    assert (call["steps"], call["views"], call["every"]) == ([500, 2500], ("a", "c"), 2)
    assert (call["data"], call["split"], call["eval_num_rays_per_chunk"]) == (Path("moved"), "train", 512)
    assert sorted(path.name for path in Path("nvs-eval-results/garden/mine/base").iterdir()) == ["2500", "500"]


def test_run_of_validation_views(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(500, split="val")]
    result = cli(*RUN[:3], "--split", "val", "--protocol", "light.yaml")
    assert result.code == 0 and result.out.startswith("fox, val views\n")
    assert opener.asked[0]["split"] == "val"
    (record,) = Path("nvs-eval-results").rglob("light-*.json")
    assert (record.parent.name, read_record(record).split) == ("500-val", "val")


@pytest.mark.parametrize("command", ["run", "audit"])
def test_doubts_about_the_data_are_printed_below_the_table(
    command: str, cli: Callable[..., Said], opener: Opener, pinned: Pinned
) -> None:
    opener.given[:] = [FakeCheckpoint(step, doubts=["Every evaluated view is a training view."]) for step in (1, 2)]
    for _ in range(2):  # Also if the records exist.
        result = cli(command, *RUN[1:3], "--steps", "all", "--protocol", "light.yaml")
        assert result.code == 0
        assert result.out.count("training view") == 1 and "training view" not in result.err
        pinned("run", result.out.splitlines()[-1])


def test_run_keeps_finished_records_without_overwrite(cli: Callable[..., Said], opener: Opener, pinned: Pinned) -> None:
    first = cli(*RUN)
    files = {path: path.read_bytes() for path in Path("nvs-eval-results").rglob("*.json")}
    again = cli(*RUN)
    assert again.out == first.out
    pinned("run", again.err)
    assert {path: path.read_bytes() for path in Path("nvs-eval-results").rglob("*.json")} == files
    assert [len(checkpoint.rendered) for checkpoint in opener.given] == [3, 3]
    assert cli(*RUN, "--overwrite").out == first.out
    assert [len(checkpoint.rendered) for checkpoint in opener.given] == [6, 6]


def test_an_interrupted_run_continues(cli: Callable[..., Said], opener: Opener) -> None:
    def interrupt(index: int) -> None:
        raise KeyboardInterrupt

    undisturbed = cli(*RUN, "--output-dir", "undisturbed")
    first, second = opener.given
    second.on_view = interrupt
    result = cli(*RUN)
    assert (result.code, result.out) == (130, "")
    second.on_view = lambda index: None
    assert cli(*RUN).out == undisturbed.out
    assert (len(first.rendered), len(second.rendered)) == (6, 6)


def test_run_is_refused_on_a_full_disk(
    cli: Callable[..., Said], opener: Opener, monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0))
    result = cli(*RUN)
    assert (result.code, result.out) == (2, "")
    pinned("run", result.err)
    assert [checkpoint.rendered for checkpoint in opener.given] == [[], []]


def test_run_with_invalid_steps(refused: Callable[..., str], opener: Opener, pinned: Pinned) -> None:
    pinned("run", refused(*RUN[:3], "--steps", "latest"))
    pinned("run", refused(*RUN[:3], "--steps", "last", "500"))


def test_run_of_one_checkpoint_twice(refused: Callable[..., str], opener: Opener, pinned: Pinned) -> None:
    pinned("run", refused("run", "--load-config", "a.yml", "b.yml", "--protocol", "light.yaml"))


def test_auto_is_the_protocol_of_each_models_own_code(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [
        FakeCheckpoint(1, own_protocol="nerf"),
        FakeCheckpoint(2, own_protocol="instant-ngp"),
        FakeCheckpoint(3, own_protocol="nerf"),
    ]
    result = cli(*RUN[:5], "--protocol", "auto")
    assert result.code == 0
    files = Path("nvs-eval-results").rglob("*.json")
    assert sorted((record.step, record.protocol["name"]) for record in map(read_record, files)) == [
        *((1, "nerf"), (2, "instant-ngp"), (3, "nerf")),
    ]
    # Checkpoints of one protocol are scored together; records keep the order of the checkpoints.
    assert "Scoring 2 x 3 views: 3 of 3" in result.err
    assert "Rendering and scoring fox/fake/base/2: 3 of 3" in result.err
    assert len(opener.rendered) == 9
    again = cli(*RUN[:5], "--protocol", "auto")
    assert (again.out, again.err.count("is already scored under"), len(opener.rendered)) == (result.out, 3, 9)


def test_auto_and_an_equal_protocol_are_one(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(1, own_protocol="nerf")]
    assert cli(*RUN[:5], "--protocol", "nerf", "auto").code == 0
    assert len(list(Path("nvs-eval-results").rglob("*.json"))) == 1


def test_auto_for_a_model_without_a_protocol(refused: Callable[..., str], opener: Opener, pinned: Pinned) -> None:
    opener.given[:] = [FakeCheckpoint(1, own_protocol="nerf"), FakeCheckpoint(2)]
    pinned("run", refused(*RUN[:5], "--protocol", "light.yaml", "auto"))
    assert opener.rendered == []


def test_auto_for_folders(refused: Callable[..., str], pinned: Pinned) -> None:
    pinned("score", refused(*score_with("auto")))


@pytest.mark.parametrize(
    ("methods", "names"),
    [((), ["fake", "fake"]), (("mine",), ["mine", "mine"]), (("mine", "yours"), ["mine", "yours"])],
)
def test_run_names_the_methods_of_several_runs(
    methods: tuple[str, ...], names: list[str], cli: Callable[..., Said], opener: Opener
) -> None:
    opener.of.update({"a.yml": [FakeCheckpoint(1), FakeCheckpoint(2)], "b.yml": [FakeCheckpoint(3)]})
    args = ("--method", *methods) if methods else ()
    assert cli("run", "--load-config", "a.yml", "b.yml", "--protocol", "light.yaml", *args).code == 0
    methods_by_step = {
        record.step: record.method for record in map(read_record, Path("nvs-eval-results").rglob("*.json"))
    }
    assert methods_by_step == {1: names[0], 2: names[0], 3: names[1]}


def test_run_with_a_wrong_number_of_methods(refused: Callable[..., str], opener: Opener, pinned: Pinned) -> None:
    args = ("run", "--load-config", "a.yml", "b.yml", "c.yml", "--protocol", "light.yaml", "--method", "one", "two")
    pinned("run", refused(*args))
    assert opener.asked == []


def test_run_is_refused_if_weights_are_missing(
    refused: Callable[..., str], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(*RUN[:5], "--weights-dir", "gone").startswith("The weights folder gone (--weights-dir)")
    assert opener.rendered == []


def test_run_out_of_memory_names_the_options_to_lower(cli: Callable[..., Said], opener: Opener) -> None:
    def out_of_memory(index: int) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    opener.given[0].on_view = out_of_memory
    result = cli(*RUN)
    assert (result.code, result.out) == (2, "")
    assert "Error: Out of memory on the graphics card: CUDA out of memory." in result.err
    assert "--eval-num-rays-per-chunk" in result.err
    assert not [file for file in files_below(Path("nvs-eval-results")) if not file.endswith("/")]


def test_run_without_its_plugin(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [])
    pinned("run", refused(*RUN))


def test_a_broken_plugin_is_named(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    class Entry(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise ImportError("No module named 'something'")

    class Distribution(NamedTuple):
        name: str

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Entry("nerfstudio", Distribution("a-plugin"))])
    pinned("run", refused(*RUN))


@pytest.mark.parametrize(
    ("distribution", "error"),
    [
        ("nvs-eval", ModuleNotFoundError("No module named 'torchmetrics'")),
        ("nvs-eval", ImportError("libcudart is broken")),
        ("a-plugin", ModuleNotFoundError("No module named 'torchmetrics'")),
    ],
    ids=["missing package", "broken package", "another plugin"],
)
def test_only_a_missing_dependency_of_nvs_eval_names_the_extra(
    distribution: str,
    error: ImportError,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    pinned: Pinned,
) -> None:
    class Distribution(NamedTuple):
        name: str

    class Entry(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise error

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Entry("nerfstudio", Distribution(distribution))])
    message = refused(*RUN)
    assert str(error) in message
    assert ("nvs-eval[nerfstudio]" in message) == (distribution == "nvs-eval" and "torchmetrics" in str(error))
    pinned("run", message)


def test_run_of_an_invalid_config(refused: Callable[..., str], pinned: Pinned) -> None:
    pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)
    pinned("run", refused("run", "--load-config", "gone/config.yml", "--protocol", "light.yaml"))
    Path("config.yml").write_text("model: nerf\nsteps: 1000\n")
    message = refused("run", "--load-config", "config.yml", "--protocol", "light.yaml")
    assert message.startswith("config.yml is not the config.yml of a nerfstudio run")
    Path("config.yml").write_text("!!python/object/apply:os.system ['touch owned']\n")
    message = refused("run", "--load-config", "config.yml", "--protocol", "light.yaml")
    assert message.startswith("config.yml, line 1: !!python/object/apply:os.system ")
    assert not Path("owned").exists()


def test_damage_outside_of_the_pixels_is_one_warning(cli: Callable[..., Said]) -> None:
    expected = cli(*SCORE).out
    files = sorted(Path("garden").glob("*/*.png"))
    for path in files:
        content = path.read_bytes()
        path.write_bytes(content[:33] + b"\0\0\0\1tEXt!1234" + content[33:])  # A wrong checksum.
    result = cli(*SCORE, "--overwrite")
    assert (result.code, result.out) == (0, expected)
    assert result.err.count("is damaged outside of its pixels. It was read without the chunks tEXt.") == 1
    assert f"Warning: {len(files) - 1} more files: each is damaged outside of its pixels." in result.err


def test_max_pixels_refuses_larger_files(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    with Image.open(next(Path("garden").glob("gt/*.png"))) as image:
        pixels = image.width * image.height
    message = refused(*SCORE, "--max-pixels", str(pixels - 1))
    assert f"must have at most {pixels - 1} pixels (--max-pixels)" in message
    assert cli(*SCORE, "--max-pixels", str(pixels)).code == 0
