"""Which renders and references belong together: by name, in order, by patterns, and which views are chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.commands import Said
from support.layouts import check_views, labels, refusal
from support.matching import refused
from support.pinned import Pinned
from support.protocols import protocol_file
from support.scenes import image, write_pngs
from support.views import views_of

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.records.result_id import selection_of
from nvs_eval.sources.folders import open_folders
from nvs_eval.sources.matching import Matching, natural

ORDER = Matching(match="order")


# --- Names with an extension ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("render", "reference"), [("a.jpg.png", "a.png"), ("a.png", "a.JPG.png"), ("a.HEIC.png", "a.png")]
)
def test_an_extension_within_a_name_is_not_part_of_it(render: str, reference: str, tmp_path: Path) -> None:
    save_png(tmp_path / "gt" / reference, image(1))
    save_png(tmp_path / "ours" / render, image(2))
    (source,) = open_folders([tmp_path / "ours"], reference=tmp_path / "gt")
    check_views(source, {reference.removesuffix(".png"): (1, 2)})
    assert source.ids[0].selection is None


def test_dots_that_are_no_extension_stay(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", {"frame.001": 1})
    write_pngs(tmp_path / "ours", {"frame": 1})
    assert "No render" in refused(tmp_path / "ours", tmp_path / "gt")


def test_two_files_for_one_view_are_an_error(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", {"a": 1})
    ours = write_pngs(tmp_path / "ours", {"a": 1, "a.jpg": 2})
    assert refused(ours, tmp_path / "gt") == (
        f"{ours}/a.jpg.png and {ours}/a.png both belong to the view 'a'. Keep one of them."
    )


# --- In order ---------------------------------------------------------------------------------------------------------


def test_numbers_are_paired_with_names_in_order(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"DSC08116": 1, "DSC08124": 2, "DSC08132": 3})
    ours = write_pngs(tmp_path / "ours", {"00000": 11, "00001": 12, "00002": 13})
    (source,) = open_folders([ours], reference=gt, matching=ORDER)
    check_views(source, {"DSC08116": (1, 11), "DSC08124": (2, 12), "DSC08132": (3, 13)})
    assert source.provenance[0]["matched"] == {
        "by": "order",
        "first": ["00000.png", "DSC08116.png"],
        "last": ["00002.png", "DSC08132.png"],
    }
    assert source.ids[0].selection is None


def test_order_is_natural_on_both_sides(tmp_path: Path) -> None:
    numbers = range(12)
    gt = write_pngs(tmp_path / "gt", {f"r_{number}": number for number in numbers})
    ours = write_pngs(tmp_path / "ours", {f"{number:05d}": 20 + number for number in numbers})
    (source,) = open_folders([ours], reference=gt, matching=ORDER)
    pairs = {view.name: view.renders[0].file for view in views_of(source)}
    assert pairs == {f"r_{number}": ours / f"{number:05d}.png" for number in numbers}
    assert list(pairs) == [f"r_{number}" for number in numbers]
    (source,) = open_folders([ours], reference=gt, matching=Matching(match="order", every=5))
    assert [view.name for view in source] == ["r_0", "r_5", "r_10"]
    assert sorted(["b10", "b9", "a", "10", "9", "b"], key=natural) == ["a", "b", "b9", "b10", "9", "10"]


def test_text_order_is_warned_of_where_it_pairs_other_images(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {f"frame_{number}": number for number in range(12)})
    # 3D Gaussian splatting holds out every eighth name in text order: frame_0 and frame_6.
    ours = write_pngs(tmp_path / "ours", {"00000": 20, "00001": 26})
    warned: list[str] = []
    (source,) = open_folders([ours], reference=gt, matching=Matching(match="order", every=8), warn=warned.append)
    check_views(source, {"frame_0": (0, 20), "frame_8": (8, 26)})
    (warning,) = warned
    assert "as text pairs other images" in warning
    assert "rename the renders after their references" in warning
    padded = write_pngs(tmp_path / "padded", {f"frame_{number:02d}": number for number in range(12)})
    open_folders([ours], reference=padded, matching=Matching(match="order", every=8), warn=warned.append)
    assert len(warned) == 1


def test_order_needs_equal_counts(tmp_path: Path, pinned: Pinned) -> None:
    gt = write_pngs(tmp_path / "gt", {"a": 1, "b": 2})
    ours = write_pngs(tmp_path / "ours", {"0": 1})
    pinned("sources", refused(ours, gt, ORDER))
    with pytest.raises(InputError, match="as many renders as references"):
        open_folders([ours], reference=gt, matching=ORDER, allow_missing=True)


def test_held_out_renders_are_paired_with_every_nth_photograph(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {f"DSC{number}": number for number in range(1, 10)})
    ours = write_pngs(tmp_path / "ours", {"00000": 21, "00001": 22, "00002": 23})
    (source,) = open_folders([ours], reference=gt, matching=Matching(match="order", every=4))
    check_views(source, {"DSC1": (1, 21), "DSC5": (5, 22), "DSC9": (9, 23)})
    (source,) = open_folders([ours], reference=gt, matching=Matching(match="order", views=["DSC2", "DSC3", "DSC4"]))
    check_views(source, {"DSC2": (2, 21), "DSC3": (3, 22), "DSC4": (4, 23)})


def test_views_are_chosen_of_pairs_where_all_are_rendered(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"a": 1, "b": 2, "c": 3})
    ours = write_pngs(tmp_path / "ours", {"0": 11, "1": 12, "2": 13})
    (source,) = open_folders([ours], reference=gt, matching=Matching(match="order", views=["b"]))
    check_views(source, {"b": (2, 12)})


# --- Patterns ---------------------------------------------------------------------------------------------------------


def test_a_pattern_says_which_files_are_views(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", {"0": 1, "cam/1": 2})
    ours = write_pngs(tmp_path / "ours", {"0_rgb": 11, "cam/1_rgb": 12, "0_depth": 9, "cam/1_depth": 9})
    for glob in ("*_rgb.png", "*_rgb"):
        (source,) = open_folders([ours], reference=tmp_path / "gt", matching=Matching(renders_glob=[glob]))
        check_views(source, {"0": (1, 11), "cam/1": (2, 12)})


def test_a_pattern_may_exclude_files(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", {"0": 1, "1": 2})
    ours = write_pngs(tmp_path / "ours", {"0": 11, "1": 12, "0_d": 9, "1_d": 9, "x/y_d": 9})
    (source,) = open_folders([ours], reference=tmp_path / "gt", matching=Matching(renders_glob=["!*_d.png"]))
    check_views(source, {"0": (1, 11), "1": (2, 12)})
    assert source.ids[0].selection is None


def test_arrays_beside_images_are_told_apart_by_a_pattern(tmp_path: Path) -> None:
    write_pngs(tmp_path / "gt", {"0": 1})
    ours = write_pngs(tmp_path / "ours", {"0": 11})
    save_npy(ours / "0.npy", image(9))
    assert refused(ours, tmp_path / "gt") == (
        f"{ours}/0.npy and {ours}/0.png have the same view name '0'. Keep one of them, or say which files are views, "
        "such as `--renders-glob '*.png'`."
    )
    (source,) = open_folders([ours], reference=tmp_path / "gt", matching=Matching(renders_glob=["*.png"]))
    check_views(source, {"0": (1, 11)})


def test_a_pattern_is_no_advice_for_two_files_of_one_format(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"0": 1})
    ours = write_pngs(tmp_path / "ours", {"a_0": 11, "b_0": 12})
    assert refused(ours, gt, Matching(renders_glob=["a_*", "b_*"])) == (
        f"{ours}/a_0.png and {ours}/b_0.png have the same view name '0'. Keep one of them, or change --renders-glob so "
        "that it matches one of them."
    )
    (ours / "a_0.png").rename(ours / "0.png")
    (ours / "b_0.png").rename(ours / "0.PNG")
    assert refused(ours, gt).endswith("have the same view name '0'. Keep one of them.")


def test_patterns_apply_to_the_references_and_to_layouts(tmp_path: Path) -> None:
    step = tmp_path / "garden" / "m" / "test" / "ours_7000"
    write_pngs(step / "renders", {"0": 11, "0_depth": 9})
    write_pngs(step / "gt", {"0_gt": 1, "0_mask": 9})
    matching = Matching(renders_glob=["!*_depth"], reference_glob=["*_gt.png"])
    (source,) = open_folders([tmp_path / "garden" / "m"], matching=matching)
    check_views(source, {"0": (1, 11)})


def test_a_pattern_is_checked(tmp_path: Path, pinned: Pinned) -> None:
    gt = write_pngs(tmp_path / "gt", {"0": 1})
    pinned("sources", refused(gt, gt, Matching(renders_glob=["*_*.png"])))
    pinned("sources", refused(gt, gt, Matching(renders_glob=["*_rgb.png"])))


# --- Advice -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("renders", "references"),
    [
        (["gs_0000", "gs_0001"], ["gt_0000", "gt_0001"]),
        (["0000_pred", "0001_pred"], ["0000", "0001"]),
        (["r_8", "r_9", "r_10"], ["frame_8_rgb", "frame_9_rgb", "frame_10_rgb", "frame_11_rgb"]),
        (["00000", "00001"], ["DSC08116", "DSC08124"]),
        (["00000", "00001"], ["DSC08116", "DSC08124", "DSC08132"]),
        (["00000", "00001"], [f"DSC{number}" for number in range(12)]),
        (["x"], ["y"]),
    ],
)
def test_names_that_differ_get_advice_that_works(
    renders: list[str], references: list[str], tmp_path: Path, pinned: Pinned
) -> None:
    gt = write_pngs(tmp_path / "gt", dict.fromkeys(references, 1))
    ours = write_pngs(tmp_path / "ours", dict.fromkeys(renders, 2))
    message = refused(ours, gt)
    pinned("sources", message)
    if "They match with" in message:
        words = message.partition("They match with `")[2].partition("`")[0].split()
        given = dict(zip(words[::2], (word.strip("'") for word in words[1::2]), strict=True))
        globs = [[given[option]] if option in given else [] for option in ("--renders-glob", "--reference-glob")]
        matching = Matching(renders_glob=globs[0], reference_glob=globs[1])
        (source,) = open_folders([ours], reference=gt, matching=matching, allow_missing=True)
        assert len(source) == len(renders)


def test_a_folder_of_plain_folders_is_no_folder_of_models(tmp_path: Path) -> None:
    write_pngs(tmp_path / "eval" / "a", {"0": 1})
    assert "has no references" in refusal(tmp_path / "eval")
    assert labels(open_folders([write_pngs(tmp_path / "x" / "ours", {"0": 1})], reference=tmp_path / "eval" / "a")) == [
        ["eval/ours"]
    ]


def test_files_beside_views_are_named_in_the_advice(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "gt", {"0": 1, "1": 2})
    ours = write_pngs(tmp_path / "ours", {"0": 11, "1": 12, "0_d": 9, "1_d": 9})
    assert refused(ours, gt).endswith(" If `*_d` are not views, add `--renders-glob '!*_d'`.")
    (source,) = open_folders([ours], reference=gt, matching=Matching(renders_glob=["!*_d"]))
    check_views(source, {"0": (1, 11), "1": (2, 12)})


# --- Commands ---------------------------------------------------------------------------------------------------------


def test_score_says_how_views_are_paired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Callable[..., Said], pinned: Pinned
) -> None:
    monkeypatch.chdir(tmp_path)
    protocol_file(tmp_path)
    write_pngs(Path("garden/gt"), {f"r_{number}": number for number in range(12)})
    write_pngs(Path("ours"), {f"{number:05d}": 20 + number for number in range(12)})
    said = cli("score", "ours", "--reference", "garden/gt", "--match", "order", "--protocol", "light.yaml")
    assert said.code == 0
    pinned("score", "\n".join(line for line in said.err.splitlines() if line.startswith("garden/ours")))


def test_a_part_of_the_views_is_scored_from_python(tmp_path: Path) -> None:
    gt = write_pngs(tmp_path / "garden" / "gt", {"a_gt": 1, "b_gt": 2, "c_gt": 3})
    ours = write_pngs(tmp_path / "ours", {"0": 11, "1": 12, "2": 13, "2_depth": 9})
    (record,) = nvs_eval.score(
        ours,
        reference=gt,
        match="order",
        renders_glob="!*_depth",
        reference_glob="*_gt",
        every=2,
        protocol=str(protocol_file(tmp_path)),
    )
    assert [row.name for row in record.views] == ["a", "c"]
    assert record.id.selection == selection_of("ac", "abc")
    errors = [((image(seed) - image(seed + 10)) ** 2).mean() for seed in (1, 3)]
    assert record.means["psnr"] == pytest.approx(sum(-10 * float(error.log10()) for error in errors) / 2, abs=1e-4)
