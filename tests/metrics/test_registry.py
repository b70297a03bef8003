from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from nvs_eval import metrics
from nvs_eval.metrics.registry import AVERAGE, FAMILIES, about_of, family_of_key, known_metrics, label_of
from nvs_eval.records.schema import MetricInfo


def test_every_family_has_facts_under_its_keys() -> None:
    assert list(known_metrics()) == [
        "psnr", "ssim", "ms_ssim", "lpips_alex", "lpips_vgg", "lpips_squeeze", "dists", "flip", "mae",
        "dssim_ms", "dssim_range1", "dssim_range2", "mipnerf_average",
    ]  # fmt: skip
    assert {family_of_key(key) for key in known_metrics()} == {*FAMILIES, AVERAGE}


def test_folder_of_a_family_has_its_facts_and_its_maker() -> None:
    folders = {path.parent.name for path in Path(metrics.__path__[0]).glob("*/about.py")}
    assert folders == {*FAMILIES, AVERAGE}
    for family in FAMILIES:
        made = import_module(f"nvs_eval.metrics.{family}.metric").describe
        assert made.__module__ == f"nvs_eval.metrics.{family}.metric"


def test_family_of_a_key_is_the_longest_that_begins_it() -> None:
    keys = {"ms_ssim": "ms_ssim", "ms_ssim_again": "ms_ssim", "ssim_ms": "ssim", "dssim_ms": "dssim", "ms": ""}
    assert {key: family_of_key(key) for key in keys} == keys
    assert family_of_key("psnr_hvs_2", "psnr_hvs", "hvs") == "psnr_hvs"


def test_facts_match_the_tables() -> None:
    shown = {key: (about.unit, about.higher_is_better, about.decimals) for key, about in known_metrics().items()}
    assert shown == {
        "psnr": ("dB", True, 2),
        "ssim": ("", True, 3),
        "ms_ssim": ("", True, 3),
        "lpips_alex": ("", False, 3),
        "lpips_vgg": ("", False, 3),
        "lpips_squeeze": ("", False, 3),
        "dists": ("", False, 3),
        "flip": ("", False, 3),
        "mae": ("", False, 4),
        "dssim_ms": ("", False, 4),
        "dssim_range1": ("", False, 4),
        "dssim_range2": ("", False, 4),
        "mipnerf_average": ("", False, 4),
    }


def test_corrected_metric_has_the_facts_of_the_plain_one() -> None:
    plain, corrected = about_of("lpips_vgg"), about_of("cc_lpips_vgg")
    assert corrected.title == "colour-corrected LPIPS (VGG)"
    assert corrected.latex == f"cc-{plain.latex}"
    assert (corrected.unit, corrected.decimals, corrected.words) == (plain.unit, plain.decimals, plain.words)


def test_labels_are_the_titles_in_tables() -> None:
    assert [label_of(key) for key in known_metrics()] == [
        "PSNR", "SSIM", "MS-SSIM", "LPIPS (Alex)", "LPIPS (VGG)", "LPIPS (Squeeze)", "DISTS", "FLIP", "MAE",
        "D-SSIM (MS)", "D-SSIM (range 1)", "D-SSIM (range 2)", "average error",
    ]  # fmt: skip
    assert [label_of(key) for key in ("cc_psnr", "ssim_reflect", "cc_ssim_reflect", "cc_sharpness")] == [
        "cc-PSNR", "ssim_reflect", "cc_ssim_reflect", "cc_sharpness",
    ]  # fmt: skip
    titled = MetricInfo("lp", True, "sharpness|v1", title="Sharpness")
    assert (label_of("sharpness", titled), label_of("cc_sharpness", titled)) == ("Sharpness", "cc-Sharpness")


def test_longer_key_has_the_facts_of_its_family() -> None:
    about = about_of("ssim_reflect")
    assert (about.title, about.latex, about.bounds) == ("ssim_reflect", "", None)
    assert (about.decimals, about.higher_is_better, about.words) == (3, True, "structural similarity")


@pytest.mark.parametrize("key", ["sharpness", "cc_sharpness"])
def test_unknown_metric_has_the_facts_of_its_record(key: str) -> None:
    prefix = "colour-corrected " if key.startswith("cc_") else ""
    plain = about_of(key, MetricInfo("lp", True, "sharpness|v1"))
    assert (plain.title, plain.unit, plain.higher_is_better) == (f"{prefix}sharpness", "lp", True)
    assert (plain.decimals, plain.latex, plain.bounds) == (4, "", None)
    titled = about_of(key, MetricInfo("lp", True, "sharpness|v1", title="Sharpness", decimals=1))
    assert (titled.title, titled.decimals) == (f"{prefix}Sharpness", 1)
    assert about_of(key).higher_is_better is None
