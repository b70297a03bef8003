"""The command line from the outside: what it prints and where, what it writes, what it says of wrong input."""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
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

# PSNR: 20 log10(255 / 51) = 13.98, of one identical pair inf, 20 log10(255 / 30) = 18.59 twice. SSIM of two greys a, b:
# (2ab + 0.0001) / (a^2 + b^2 + 0.0001), of the four pairs 0.92309, 1, 0.96767, 0.90184.
TABLE = """\
garden, test views
method  psnr [dB] ↑  ssim ↑  views
──────────────────────────────────
ours            inf   0.962      2
theirs        18.59   0.935      2
protocol light (FINGERPRINT)
psnr|range:1|q:round8|mask:valid-pixels|v1
ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|q:round8|mask:valid-pixels|v1

"""
PER_VIEW = """\
garden, test views
view  method  psnr [dB] ↑  ssim ↑
─────────────────────────────────
0001  ours          13.98   0.923
0002  ours            inf   1.000
0001  theirs        18.59   0.968
0002  theirs        18.59   0.902
protocol light (FINGERPRINT)
psnr|range:1|q:round8|mask:valid-pixels|v1
ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|q:round8|mask:valid-pixels|v1

"""


def masked(text: str) -> str:
    return FINGERPRINT.sub("(FINGERPRINT)", text)


# --- What is printed, and where -------------------------------------------------------------------------------------


def test_score_prints_only_the_table_to_stdout(cli: Callable[..., Said]) -> None:
    said = cli(*SCORE)
    assert said.code == 0
    assert masked(said.out) == TABLE
    assert re.sub(r"-[0-9a-f]{8}\.json", "-FINGERPRINT.json", said.err) == (
        "Scoring 2 x 2 views: 2 of 2\n"
        "Record: nvs-eval-results/garden/ours/final/light-FINGERPRINT.json\n"
        "Record: nvs-eval-results/garden/theirs/final/light-FINGERPRINT.json\n"
    )


def test_per_view_adds_a_row_a_view(cli: Callable[..., Said]) -> None:
    assert masked(cli(*SCORE, "--per-view").out) == TABLE + PER_VIEW


def test_without_terminal_there_is_no_colour_even_if_forced(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    said = cli(*SCORE)
    assert masked(said.out) == TABLE
    assert "\x1b" not in said.err
    assert "\x1b" not in cli("weights", "--weights-dir", ".").out


def test_without_a_terminal_nothing_is_wrapped_or_cut(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    name = "a-method-of-a-very-long-name-" * 8
    assert f"{name}/missing does not exist" in refused("score", f"garden/{name}/missing", "--protocol", "light.yaml")
    shutil.move("garden/ours", f"garden/{name}")
    said = cli("score", f"garden/{name}", "--reference", "garden/gt", "--protocol", "light.yaml")
    assert f"\n{name}  " in said.out
    assert f"Record: nvs-eval-results/garden/{name}/final/light-" in said.err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [80, 50])
def test_in_a_terminal_the_table_fits_and_the_best_is_bold(
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
def test_in_a_terminal_mark_none_marks_nothing(
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


def test_paths_are_printed_as_they_are(cli: Callable[..., Said], refused: Callable[..., str]) -> None:
    assert "no:100:folder[bold]" in refused(
        "score", "no:100:folder[bold]", "--reference", "x", "--protocol", "light.yaml"
    )
    said = cli(*SCORE, "--output-dir", "out:100:[/red]")
    assert "Record: 'out:100:[/red]/garden/ours/final/light-" in said.err


def test_progress_in_a_terminal_survives_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.cli.console import progress

    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress("Rendering fox/[/not markup]", 2) as advance:
        advance()
        advance()
    assert "[/not markup]" in terminal.getvalue()


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
    ]
    assert provenance["command"] == ["nvs-eval", "as", "given"]
    assert provenance["versions"]["torch"] == version("torch")
    assert (provenance["device"], provenance["weights"], provenance["tf32"]) == ("cpu", {}, False)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", provenance["started"])
    assert files_below(Path("out")) == [f"s/b/final/{file.name}", f"s/mine/final/{file.name}"]


def test_several_protocols_are_several_records_and_tables(cli: Callable[..., Said], here: Path) -> None:
    named = variant(FLOAT, metrics={"ssim": UNIFORM})
    protocol_file(here, named, "float.yaml")
    said = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "float.yaml")
    assert re.findall(r"protocol (\w+)", said.out) == ["light", "float"]
    assert len(list(Path("nvs-eval-results/garden/ours/final").glob("*.json"))) == 2
    again = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", "./light.yaml")
    assert re.findall(r"protocol (\w+)", again.out) == ["light"]


@pytest.mark.parametrize("how", ["quadratic", "affine"])
def test_corrected_scores_stand_beside_the_plain_ones(how: str, cli: Callable[..., Said]) -> None:
    write_garden(Path("garden"))
    # Theirs are the references in other colours, which a fit takes back.
    write_images(Path("garden/theirs"), {view: 0.25 + 0.5 * image(int(view)) for view in NAMES})
    plain = cli(*SCORE)
    said = cli(*SCORE, "--colour-correct", how)
    assert said.code == 0
    header = said.out.splitlines()[1]
    assert re.search(r"psnr \[dB\] ↑ +ssim ↑ +cc_psnr \[dB\] ↑ +cc_ssim ↑", header)
    assert f"psnr|range:1|cc:{how}|q:round8|mask:valid-pixels|v1" in said.out
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


def test_groups_with_other_references_are_scored_in_turn(cli: Callable[..., Said]) -> None:
    for model, level in (("a", 102), ("b", 103)):
        fill(Path(f"{model}/test/ours_7000/gt"), [level, 51])
        fill(Path(f"{model}/test/ours_7000/renders"), [153, 51])
    said = cli("score", "a", "b", "--scene", "s", "--protocol", "light.yaml")
    assert said.code == 0
    assert said.err.count("Scoring 1 x 2 views") == 2
    assert "† b/7000: not comparable with a/7000, for different references (1 of 2 views)" in said.out


@pytest.mark.parametrize(
    "given",
    [
        ["nvs-eval-results"],
        ["nvs-eval-results/garden/theirs", "nvs-eval-results/garden/ours"],
        ["nvs-eval-results/*/*/final/light-*.json"],
        ["nvs-eval-results/**/*.json"],
        ["nvs-eval-results/garden/*"],
        ["./nvs-eval-results", "garden/../nvs-eval-results/garden/ours", "nvs-eval-results/**"],
    ],
    ids=["a folder", "folders", "a pattern", "a deep pattern", "a pattern of folders", "the same several times"],
)
def test_table_prints_what_score_printed(given: list[str], cli: Callable[..., Said]) -> None:
    scored = cli(*SCORE, "--per-view")
    assert cli("table", *given, "--per-view") == Said(0, scored.out, "")


def test_table_of_one_record(cli: Callable[..., Said]) -> None:
    cli(*SCORE)
    (file,) = Path("nvs-eval-results/garden/theirs").rglob("*.json")
    said = cli("table", str(file))
    assert masked(said.out) == TABLE.replace("ours            inf   0.962      2\n", "")
    shutil.move(file, "a record with [brackets].txt")
    assert cli("table", "a record with [brackets].txt").out == said.out


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
    said = cli("score", "garden/ours", "garden/theirs", "--reference", "garden/gt")
    assert said.code == 0
    header = said.out.splitlines()[1].split("  ")
    assert [name.strip() for name in header if name] == [
        *("method", "psnr [dB] ↑", "ssim ↑", "lpips_alex ↓", "lpips_vgg ↓", "views"),
    ]
    (file,) = Path("nvs-eval-results/garden/ours").rglob("standard-*.json")
    record = read_record(file)
    assert sorted(record.provenance["weights"]) == ["alex", "vgg"]
    identical = record.views[1].scores
    # Convolutions of one image and of two at once differ in the last bits.
    assert [identical["lpips_alex"], identical["lpips_vgg"]] == pytest.approx([0.0, 0.0], abs=1e-9)
    assert record.means["psnr"] == float("inf")


# --- Wrong input to score -------------------------------------------------------------------------------------------


def test_images_of_different_sizes(refused: Callable[..., str]) -> None:
    save_png(Path("garden/ours/0002.png"), torch.zeros(HEIGHT, WIDTH + 2, 3))
    assert refused(*SCORE) == (
        "View '0002': the render garden/ours/0002.png is 50x40, but the reference garden/gt/0002.png is 48x40. Images "
        "are never resized. Render at the reference's size."
    )


def test_no_common_names(refused: Callable[..., str]) -> None:
    for name in NAMES:
        shutil.move(f"garden/ours/{name}.png", f"garden/ours/r_{name}.png")
    assert refused(*SCORE) == (
        "No render of garden/ours has the name of a reference. The renders are r_0001, r_0002; the references are "
        "0001, 0002. Rename one of the two."
    )


def test_missing_views_unless_they_may_be_missing(refused: Callable[..., str], cli: Callable[..., Said]) -> None:
    Path("garden/theirs/0001.png").unlink()
    assert refused(*SCORE) == (
        "The views of garden/theirs do not match: 1 reference without a render: 0001. Add the missing files, or use "
        "`--allow-missing` to score the views that have both."
    )
    said = cli(*SCORE, "--allow-missing")
    assert said.code == 0
    assert "not comparable with ours, for different views (2 and 1; only ours has 0001)" in said.out


def test_no_reference(refused: Callable[..., str]) -> None:
    assert refused("score", "garden/ours", "--protocol", "light.yaml").startswith(
        "garden/ours has no references. Add `--reference DIR`. Layouts that include references have these files: "
    )


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"no image"], ids=["empty", "a signature", "text"])
def test_an_unreadable_image(content: bytes, refused: Callable[..., str]) -> None:
    Path("garden/theirs/0002.png").write_bytes(content)
    assert re.fullmatch(r"garden/theirs/0002\.png cannot be read as an image: .+", refused(*SCORE))


def test_an_image_that_is_damaged_below_its_header(refused: Callable[..., str]) -> None:
    file = Path("garden/theirs/0002.png")
    save_png(file, image(1))
    whole = file.read_bytes()
    for left in (len(whole) - 1000, whole.index(b"IDAT")):
        file.write_bytes(whole[:left])
        said = refused(*SCORE)
        assert re.fullmatch(r"garden/theirs/0002\.png cannot be read as an image: .*(truncated|damaged).*", said), said


def as_npy(changed: Callable[[torch.Tensor], object]) -> None:
    Path("garden/ours/0002.png").unlink()
    render = flat(51)
    changed(render)
    save_npy(Path("garden/ours/0002.npy"), render)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_render_that_is_not_finite(value: float, refused: Callable[..., str]) -> None:
    as_npy(lambda render: render[3, 4].fill_(value))
    assert refused(*SCORE) == (
        "The render of view '0002' (garden/ours/0002.npy) must be finite. Got NaN or infinite values in 1 pixel."
    )


def test_a_render_out_of_range(refused: Callable[..., str]) -> None:
    as_npy(lambda render: render[3, 4].fill_(1.5))
    assert refused(*SCORE) == (
        "The render of view '0002' (garden/ours/0002.npy) has values from 0.2 to 1.5, and the protocol 'light' needs "
        "[0, 1]: clamp it where it is made, or use a protocol with `out_of_range: clamp`."
    )


def test_a_grey_image_needs_an_instruction(refused: Callable[..., str], cli: Callable[..., Said]) -> None:
    iio.imwrite("garden/ours/0001.png", np.full((HEIGHT, WIDTH), 153, np.uint8))
    assert refused(*SCORE) == (
        "garden/ours/0001.png must be RGB. Got a grey image. Use `--grey-to-rgb` to repeat its channel three times."
    )
    assert masked(cli(*SCORE, "--grey-to-rgb").out) == TABLE


def test_an_alpha_channel_needs_a_background(refused: Callable[..., str], cli: Callable[..., Said]) -> None:
    # Over black, 51 of 255 is what 255 with an alpha of 51 is.
    translucent = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
    translucent[..., 3] = 51
    iio.imwrite("garden/ours/0002.png", translucent)
    assert refused(*SCORE) == (
        "garden/ours/0002.png has an alpha channel, and every score depends on the background. Use `--background "
        "white`, `black` or `r,g,b` (each in [0, 1])."
    )
    assert masked(cli(*SCORE, "--background", "black").out) == TABLE
    assert masked(cli(*SCORE, "--background", "0,0.0,0").out) == TABLE
    assert masked(cli(*SCORE, "--background", "white").out) != TABLE


@pytest.mark.parametrize("background", ["grey", "0,0", "0,0,2", "0,0,nan", "-1,0,0", ""])
def test_a_background_that_is_none(background: str, refused: Callable[..., str]) -> None:
    assert refused(*SCORE, f"--background={background}") == (
        f"The background is {background!r}, and white, black, or r,g,b with each in [0, 1] is needed."
    )


def test_protocols_with_other_alpha_share_one_decoding(cli: Callable[..., Said], here: Path) -> None:
    protocol_file(here, variant(name="dropping", alpha="drop"), "dropping.yaml")
    translucent = np.full((HEIGHT, WIDTH, 4), 153, np.uint8)
    translucent[..., 3] = 51
    iio.imwrite("garden/ours/0001.png", translucent)
    assert cli(*SCORE, "dropping.yaml", "--background", "white").code == 0
    first = {}
    for file in Path("nvs-eval-results/garden/ours/final").glob("*.json"):
        record = read_record(file)
        first[record.protocol["name"]] = record.views[0].scores["psnr"]
    # 153 of 255 with an alpha of 51 over white is 234.6, which is 235; the reference is 102.
    assert first == pytest.approx(
        {"dropping": 20 * math.log10(255 / 51), "light": 20 * math.log10(255 / 133)}, abs=1e-5
    )


def test_two_results_of_one_name(refused: Callable[..., str]) -> None:
    assert refused(*SCORE, "--method", "same", "same") == (
        "garden/same was given twice: two results of one name would overwrite each other. Name one of them with "
        "`--method`, or give it once."
    )


def test_a_method_for_some_of_the_folders(refused: Callable[..., str]) -> None:
    assert refused(*SCORE, "--method", "one") == (
        "Got 1 method for 2 folders of renders. Name one method per folder, or none."
    )


def test_a_folder_that_is_not_there(refused: Callable[..., str]) -> None:
    assert refused("score", "garden/gone", "--reference", "garden/gt", "--protocol", "light.yaml") == (
        "The folder of renders garden/gone does not exist."
    )


# --- Wrong protocols ------------------------------------------------------------------------------------------------


def score_with(*protocols: str) -> tuple[str, ...]:
    return "score", "garden/ours", "--reference", "garden/gt", "--protocol", *protocols


def test_an_unknown_protocol_names_the_nearest(refused: Callable[..., str]) -> None:
    message = refused(*score_with("standart"))
    assert message.startswith("Unknown protocol 'standart'. Did you mean 'standard'? Known: ")
    assert re.search(r"Known: .*nerfstudio.*standard\b", message)


@pytest.mark.parametrize(
    ("before", "after", "said"),
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
        ("crop: 0\n", "", r"a protocol lacks crop: there is no default\."),
        ("region: full", "regoin: full", r"Unknown field of a protocol 'regoin'\. Did you mean 'region'\?"),
        ("out_of_range: error", "out_of_range: err", r"Unknown out_of_range 'err'\. Did you mean 'error'\?"),
        ("name: light", "name: [", r"is not YAML"),
    ],
)
def test_a_wrong_protocol_file_is_named_with_what_is_wrong(
    before: str, after: str, said: str, refused: Callable[..., str], here: Path
) -> None:
    assert before in LIGHT
    protocol_file(here, LIGHT.replace(before, after, 1), "mine.yaml")
    message = refused(*score_with("mine.yaml")).replace("\n", " ")
    assert message.startswith("The protocol file mine.yaml")
    assert re.search(said, message)


def test_a_protocol_file_that_is_not_there(refused: Callable[..., str]) -> None:
    assert refused(*score_with("gone.yaml")) == (
        "The protocol file gone.yaml cannot be read: No such file or directory."
    )


# --- Wrong places ---------------------------------------------------------------------------------------------------


def test_an_output_folder_that_is_a_file(cli: Callable[..., Said]) -> None:
    Path("taken").write_text("in the way")
    said = cli(*SCORE, "--output-dir", "taken")
    assert (said.code, said.out) == (2, "")
    assert said.err == "Error: taken cannot be written: Not a directory. Choose another folder, or free some space.\n"
    assert Path("taken").read_text() == "in the way"


def test_a_record_that_cannot_be_put_in_its_place(cli: Callable[..., Said]) -> None:
    Path("nvs-eval-results/garden").mkdir(parents=True)
    Path("nvs-eval-results/garden/ours").write_text("in the way")
    said = cli(*SCORE)
    assert (said.code, said.out) == (2, "")
    assert re.search(r"Error: nvs-eval-results/garden/ours/final/light-\w+\.json cannot be written: ", said.err)
    assert files_below(Path("nvs-eval-results")) == ["garden/ours"]


def missing_device() -> str:
    return "cuda:99" if torch.cuda.is_available() else "cuda"


@pytest.mark.parametrize("device", [missing_device(), "gpu"])
def test_a_device_that_is_not_there(device: str, refused: Callable[..., str]) -> None:
    message = refused(*SCORE, "--device", device)
    assert message.startswith(f"The device {device!r} cannot be used here: ")
    assert message.endswith(" Say `--device cpu`, or auto.")


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
def test_out_of_memory_says_what_to_lower(
    error: BaseException, where: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(self: Scorer, view: Any) -> Any:
        raise error

    monkeypatch.setattr(Scorer, "outcomes", score)
    message = refused(*SCORE)
    assert message.startswith(
        f"Out of memory on {where}: {str(error).splitlines()[0]} Lower `--eval-num-rays-per-chunk`"
    )
    assert message.endswith(
        "score fewer folders, steps or configs at once where it happened in scoring; or say `--device cpu`."
    )


def test_any_other_error_is_not_dressed_up(cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def score(self: Scorer, view: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Scorer, "outcomes", score)
    said = cli(*SCORE)
    assert (said.code, said.out) == (70, "")
    assert "\nRuntimeError: a bug\nError: " in said.err


def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(
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
    said = cli("score", "a", "b", "--scene", "s", "--protocol", "light.yaml")
    assert (said.code, said.out) == (130, "")
    assert said.err.splitlines()[-1].startswith("Interrupted. ")
    (file,) = [path for path in Path("nvs-eval-results").rglob("*") if path.is_file()]
    assert read_record(file).method == "a"


# --- Wrong input to the other commands ------------------------------------------------------------------------------


def test_table_of_nothing(refused: Callable[..., str]) -> None:
    Path("empty").mkdir()
    for given in ("gone", "empty", "gone/*.json", "gone.json"):
        assert refused("table", given) == (
            f"There is no record at {given!r}: give record files (.json), a folder of them, or a pattern."
        )


def test_table_of_what_is_no_record(refused: Callable[..., str]) -> None:
    Path("results.json").write_text('{"results": {"psnr": 20}}')
    assert refused("table", "results.json") == "results.json is not a record of nvs-eval: it has no schema_version."
    Path("results.json").write_text('{"results": ')
    assert refused("table", "results.json").startswith("results.json is not JSON (")


def test_table_of_a_record_that_was_changed(refused: Callable[..., str], cli: Callable[..., Said]) -> None:
    cli(*SCORE, "--output-dir", "out")
    (file,) = Path("out/garden/theirs").rglob("*.json")
    plain = json.loads(file.read_text())
    plain["means"]["psnr"] += 1
    file.write_text(json.dumps(plain))
    message = refused("table", "out")
    assert message.startswith(f"The record {file}: its mean psnr is 19.58")
    assert message.endswith(": it was changed by hand.")


def test_weights_that_are_not_there(refused: Callable[..., str]) -> None:
    assert refused("weights", "--weights-dir", "gone") == (
        "The weights folder gone (--weights-dir) is no folder; give one that exists, or leave it out."
    )
    assert refused("weights", "--install", "gone.pth").startswith("There is no file gone.pth to install weights from.")
    assert refused(*score_with("standard"), "--weights-dir", "gone").startswith(
        "The weights folder gone (--weights-dir)"
    )


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
    said = cli(*args)
    assert (said.code, said.out) == (2, "")
    assert said.err != ""
    assert "Traceback" not in said.err


def test_help_ends_with_0(cli: Callable[..., Said]) -> None:
    said = cli("--help")
    assert (said.code, said.err) == (0, "")
    for command in ("run", "score", "audit", "rescore", "table", "inspect", "export", "protocols", "weights", "demo"):
        assert f"{command} " in said.out


# --- run ------------------------------------------------------------------------------------------------------------


RUN = ("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml")


def test_run_renders_scores_writes_and_prints(
    cli: Callable[..., Said], opener: Opener, capsys: pytest.CaptureFixture[str]
) -> None:
    said = cli(*RUN)
    assert said.code == 0
    assert re.findall(r"^fake +base +(\d+) ", said.out, re.MULTILINE) == ["500", "2500"]
    assert said.err.splitlines()[:4] == [
        "Renders take up to 0.2 MB in nvs-eval-results (--keep-renders png).",
        "Rendering fox/fake/base/500: 3 of 3",
        "Rendering fox/fake/base/2500: 3 of 3",
        "Scoring 2 x 3 views: 3 of 3",
    ]
    assert cli("table", "nvs-eval-results").out == said.out
    (asked,) = opener.asked
    asked.pop("warn")("a warning")
    assert capsys.readouterr().err == "a warning\n"
    assert asked == {
        "path": Path("config.yml"),
        "steps": "all",
        "split": "test",
        "views": (),
        "every": 1,
        "data": None,
        "device": torch.device("cuda" if torch.cuda.is_available() else "cpu"),
        "eval_num_rays_per_chunk": None,
    }


def test_run_hands_its_options_on(cli: Callable[..., Said], opener: Opener) -> None:
    options = ("--views", "a", "c", "--every", "2", "--data", "moved", "--eval-num-rays-per-chunk", "512")
    names = ("--split", "train", "--device", "cpu", "--scene", "garden", "--method", "mine")
    said = cli(*RUN[:3], "--steps", "500", "2500", "--protocol", "light.yaml", *options, *names)
    assert said.code == 0
    (asked,) = opener.asked
    assert (asked["steps"], asked["views"], asked["every"]) == ([500, 2500], ("a", "c"), 2)
    assert (asked["data"], asked["split"], asked["eval_num_rays_per_chunk"]) == (Path("moved"), "train", 512)
    assert sorted(path.name for path in Path("nvs-eval-results/garden/mine/base").iterdir()) == ["2500", "500"]


def test_run_leaves_finished_records_alone_unless_told_otherwise(cli: Callable[..., Said], opener: Opener) -> None:
    first = cli(*RUN)
    files = {path: path.read_bytes() for path in Path("nvs-eval-results").rglob("*.json")}
    again = cli(*RUN)
    assert again.out == first.out
    assert again.err.splitlines() == [
        f"fox/fake/base/{step} has its records already; say --overwrite to render and score it again."
        for step in (500, 2500)
    ]
    assert {path: path.read_bytes() for path in Path("nvs-eval-results").rglob("*.json")} == files
    assert [len(checkpoint.rendered) for checkpoint in opener.given] == [3, 3]
    assert cli(*RUN, "--overwrite").out == first.out
    assert [len(checkpoint.rendered) for checkpoint in opener.given] == [6, 6]


def test_run_interrupted_goes_on_where_it_was(cli: Callable[..., Said], opener: Opener) -> None:
    def interrupt(index: int) -> None:
        raise KeyboardInterrupt

    undisturbed = cli(*RUN, "--output-dir", "undisturbed")
    first, second = opener.given
    second.on_view = interrupt
    said = cli(*RUN)
    assert (said.code, said.out) == (130, "")
    second.on_view = lambda index: None
    assert cli(*RUN).out == undisturbed.out
    assert (len(first.rendered), len(second.rendered)) == (6, 6)


def test_run_is_refused_where_the_disk_is_full(
    cli: Callable[..., Said], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0))
    said = cli(*RUN)
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines()[1] == (
        "Error: The renders need up to 0.2 MB in nvs-eval-results, but only 0.0 MB are free. Free some space, choose "
        "another `--output-dir`, evaluate fewer `--steps` or `--views`, or use `--keep-renders none`."
    )
    assert [checkpoint.rendered for checkpoint in opener.given] == [[], []]


def test_run_of_steps_that_are_no_numbers(refused: Callable[..., str], opener: Opener) -> None:
    assert refused(*RUN[:3], "--steps", "latest") == "--steps is 'latest', and last, all, or numbers are needed."
    assert refused(*RUN[:3], "--steps", "last", "500") == "--steps is 'last 500', and last, all, or numbers are needed."


def test_run_of_the_same_checkpoint_twice(refused: Callable[..., str], opener: Opener) -> None:
    assert refused("run", "--load-config", "a.yml", "b.yml", "--protocol", "light.yaml").startswith(
        "fox/fake/base/500 was given twice: two results of one name would overwrite each other."
    )


def test_auto_is_what_each_models_own_code_says(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [
        FakeCheckpoint(1, own_protocol="nerf"),
        FakeCheckpoint(2, own_protocol="instant-ngp"),
        FakeCheckpoint(3, own_protocol="nerf"),
    ]
    said = cli(*RUN[:5], "--protocol", "auto")
    assert said.code == 0
    files = Path("nvs-eval-results").rglob("*.json")
    assert sorted((record.step, record.protocol["name"]) for record in map(read_record, files)) == [
        *((1, "nerf"), (2, "instant-ngp"), (3, "nerf")),
    ]
    # Those of one protocol are scored together, and the records come in the order in which they were asked for.
    assert "Scoring 2 x 3 views: 3 of 3" in said.err
    assert "Rendering and scoring fox/fake/base/2: 3 of 3" in said.err
    assert len(opener.rendered) == 9
    again = cli(*RUN[:5], "--protocol", "auto")
    assert (again.out, again.err.count("has its records already"), len(opener.rendered)) == (said.out, 3, 9)


def test_auto_beside_a_protocol_of_the_same_definition_is_one(cli: Callable[..., Said], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(1, own_protocol="nerf")]
    assert cli(*RUN[:5], "--protocol", "nerf", "auto").code == 0
    assert len(list(Path("nvs-eval-results").rglob("*.json"))) == 1


def test_auto_of_a_model_whose_own_code_is_not_known(refused: Callable[..., str], opener: Opener) -> None:
    opener.given[:] = [FakeCheckpoint(1, own_protocol="nerf"), FakeCheckpoint(2)]
    message = refused(*RUN[:5], "--protocol", "light.yaml", "auto")
    assert message == (
        "`--protocol auto` stands for what the model's own code says, and that is not known of fox/fake/base/2: only "
        "of nerfstudio's own models in `nvs-eval run`. Name a protocol: `nvs-eval protocols` lists them."
    )
    assert opener.rendered == []


def test_auto_of_folders(refused: Callable[..., str]) -> None:
    assert refused(*score_with("auto")) == (
        "`--protocol auto` stands for what the model's own code says, and that is not known here: only of nerfstudio's "
        "own models in `nvs-eval run`. Name a protocol: `nvs-eval protocols` lists them."
    )


@pytest.mark.parametrize(
    ("methods", "names"),
    [((), ["fake", "fake"]), (("mine",), ["mine", "mine"]), (("mine", "yours"), ["mine", "yours"])],
)
def test_run_names_the_methods_of_several_runs(
    methods: tuple[str, ...], names: list[str], cli: Callable[..., Said], opener: Opener
) -> None:
    opener.of.update({"a.yml": [FakeCheckpoint(1), FakeCheckpoint(2)], "b.yml": [FakeCheckpoint(3)]})
    given = ("--method", *methods) if methods else ()
    assert cli("run", "--load-config", "a.yml", "b.yml", "--protocol", "light.yaml", *given).code == 0
    found = {record.step: record.method for record in map(read_record, Path("nvs-eval-results").rglob("*.json"))}
    assert found == {1: names[0], 2: names[0], 3: names[1]}


def test_run_with_a_wrong_number_of_methods(refused: Callable[..., str], opener: Opener) -> None:
    given = ("run", "--load-config", "a.yml", "b.yml", "c.yml", "--protocol", "light.yaml", "--method", "one", "two")
    assert refused(*given) == "2 methods for 3 runs: give one for each, one for all, or none."
    assert opener.asked == []


def test_run_is_refused_where_weights_are_missing(
    refused: Callable[..., str], opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(*RUN[:5], "--weights-dir", "gone").startswith("The weights folder gone (--weights-dir)")
    assert opener.rendered == []


def test_run_out_of_memory_says_what_to_lower(cli: Callable[..., Said], opener: Opener) -> None:
    def out_of_memory(index: int) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory.")

    opener.given[0].on_view = out_of_memory
    said = cli(*RUN)
    assert (said.code, said.out) == (2, "")
    assert (
        "Error: Out of memory on the graphics card: CUDA out of memory. Lower `--eval-num-rays-per-chunk`" in said.err
    )
    assert not [file for file in files_below(Path("nvs-eval-results")) if not file.endswith("/")]


def test_run_without_its_plugin(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ENTRY_POINTS, lambda group: [])
    assert refused(*RUN).startswith("Unknown source 'nerfstudio'.")


def test_a_broken_plugin_is_named(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise ImportError("No module named 'something'")

    class Distribution(NamedTuple):
        name: str

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Entry("nerfstudio", Distribution("a-plugin"))])
    assert refused(*RUN) == "The source 'nerfstudio' of a-plugin cannot be loaded: No module named 'something'"


@pytest.mark.parametrize(
    ("distribution", "error", "said"),
    [
        (
            "nvs-eval",
            ModuleNotFoundError("No module named 'torchmetrics'"),
            "The source 'nerfstudio' requires a package that is not installed (No module named 'torchmetrics'). Run "
            "pip install 'nvs-eval[nerfstudio]' (from a clone: pip install '.[nerfstudio]').",
        ),
        (
            "nvs-eval",
            ImportError("libcudart is broken"),
            "The source 'nerfstudio' of nvs-eval cannot be loaded: libcudart is broken",
        ),
        (
            "a-plugin",
            ModuleNotFoundError("No module named 'torchmetrics'"),
            "The source 'nerfstudio' of a-plugin cannot be loaded: No module named 'torchmetrics'",
        ),
    ],
)
def test_what_nvs_eval_itself_lacks_is_to_be_installed(
    distribution: str, error: ImportError, said: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Distribution(NamedTuple):
        name: str

    class Entry(NamedTuple):
        name: str
        dist: Any

        def load(self) -> object:
            raise error

    monkeypatch.setattr(ENTRY_POINTS, lambda group: [Entry("nerfstudio", Distribution(distribution))])
    assert refused(*RUN) == said


def test_run_of_a_config_that_is_none(refused: Callable[..., str]) -> None:
    pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)
    assert refused("run", "--load-config", "gone/config.yml", "--protocol", "light.yaml") == (
        "There is no file gone/config.yml; give the config.yml of a nerfstudio run."
    )
    Path("config.yml").write_text("model: nerf\nsteps: 1000\n")
    message = refused("run", "--load-config", "config.yml", "--protocol", "light.yaml")
    assert message.startswith("config.yml is not the config.yml of a nerfstudio run: it holds a dict, needed a Trainer")
    Path("config.yml").write_text("!!python/object/apply:os.system ['touch owned']\n")
    message = refused("run", "--load-config", "config.yml", "--protocol", "light.yaml")
    assert message.startswith("config.yml, line 1: !!python/object/apply:os.system is refused")
    assert not Path("owned").exists()
