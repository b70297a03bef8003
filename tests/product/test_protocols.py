"""`nvs-eval protocols` lists the named protocols and says what each does, every step and every metric of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.protocols import LIGHT, protocol_file

from nvs_eval.cli import main
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.report.words import comments_of, metric_words, preparation_words, summary_of

Printed = Callable[..., str]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nvs-eval"])
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*args: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["protocols", *args]) == code
        said = capsys.readouterr()
        assert said.err == "" if code == 0 else said.out == ""
        return said.out or said.err

    return run


# --- The list -------------------------------------------------------------------------------------------------------


def test_list_has_a_line_for_each_protocol_with_its_name_first(printed: Printed) -> None:
    lines = printed().splitlines()
    assert [line.split()[:2] for line in lines] == [[n, load_protocol(n).fingerprint] for n in named_protocols()]
    (standard,) = [line for line in lines if line.startswith("standard ")]
    assert standard.endswith("  The protocol of nvs-eval itself, and its default")
    for line in lines:
        assert re.fullmatch(r"\S+ +[0-9a-f]{8}  \S.*\S", line)
        assert len(line) < 140


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("# Mine.\nname: x", "Mine"),
        ("# A tool, someone/tool: metrics.py\n# (main), read at 1a2b.\n#\n# More.\nname: x", "A tool, someone/tool"),
        (
            "# What a model of it (a, b: models/*.py)\n# computes, read at v1.1.5 and later.\n",
            "What a model of it computes",
        ),
        ("# Of version 1.1.5, and more. Second sentence.\n", "Of version 1.1.5, and more"),
        ("name: x\n# late", ""),
        ("", ""),
    ],
)
def test_the_summary_is_what_a_file_first_says_that_it_is(text: str, summary: str) -> None:
    assert summary_of(text) == summary


def test_comments_are_paragraphs() -> None:
    assert comments_of("# One\n# two.\n#\n#\n# Three.\n\n# Not of the head.\n") == ["One two.", "Three."]


# --- One in words ---------------------------------------------------------------------------------------------------


def test_a_protocol_in_words(printed: Printed, tmp_path: Path) -> None:
    protocol_file(tmp_path, f"# What it follows,\n# in some words.\n#\n# How it was checked.\n{LIGHT}")
    fingerprint = load_protocol("light.yaml").fingerprint
    assert (
        printed("light.yaml")
        == f"""\
light ({fingerprint})

What it follows, in some words.

How it was checked.

How the images are prepared, in this order:
  1. An image with alpha is laid over the background that is given.
  2. An image outside [0, 1] is an error.
  3. No colours are corrected.
  4. The render and the reference are rounded to 8 bits.
  5. The whole image is scored.
  6. Scores are means over the mask alone.

What is computed:
  psnr [dB] ↑: the peak signal-to-noise ratio; it has a data range of 1.
     psnr|range:1|q:round8|mask:valid-pixels|v1
  ssim ↑: structural similarity; it uses Gaussian windows of 11 pixels (sigma 1.5), takes only windows wholly inside \
the image, has a data range of 1 and takes population variances.
     ssim|win:gauss11s1.5|pad:valid|range:1|cov:population|q:round8|mask:valid-pixels|v1
"""
    )


@pytest.mark.parametrize("name", named_protocols())
def test_each_named_protocol_can_be_told(name: str, printed: Printed) -> None:
    protocol, text = load_protocol(name), printed(name)
    assert text.startswith(f"{name} ({protocol.fingerprint})\n")
    for metric, signature in protocol.signatures.items():
        assert f"\n  {metric} " in text
        assert f"     {signature}\n" in text
    for paragraph in comments_of(named_protocols()[name].read_text(encoding="utf-8")):
        assert f"\n{paragraph}\n" in text
    assert "plugin" not in text
    assert " has '" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_in_a_terminal_paragraphs_are_wrapped(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setattr("nvs_eval.cli.console.results", lambda: Console(file=sys.stdout, width=60, highlight=False))
    lines = printed("standard").splitlines()
    assert max(len(line) for line in lines if "|" not in line) <= 60
    assert len([line for line in lines if line.startswith("     ")]) > 4


def test_an_unknown_protocol_is_refused(printed: Printed) -> None:
    assert "Unknown protocol 'standart'. Did you mean 'standard'?" in printed("standart", code=2)


def test_a_file_cannot_steer_a_terminal(printed: Printed, tmp_path: Path) -> None:
    protocol_file(tmp_path, f"# \x1b[2J\n{LIGHT}", "a.yaml")
    # YAML itself refuses control characters.
    assert "is not YAML" in printed("a.yaml", code=2)
    protocol_file(tmp_path, f"# a\u202eb\n{LIGHT}", "a.yaml")
    assert r"a\u202eb" in printed("a.yaml")


# --- Sentences ------------------------------------------------------------------------------------------------------

DEFINITION: dict[str, Any] = {
    "alpha": "error",
    "colour_correction": "quadratic",
    "out_of_range": "keep",
    "quantise": {"render": "round", "reference": "none", "mask": "truncate"},
    "region": "right-half",
    "crop": 4,
    "mask": "bbox",
    "round_means": 5,
}


def test_each_step_is_a_sentence() -> None:
    assert preparation_words(DEFINITION) == [
        "An image with alpha is an error.",
        "What lies outside [0, 1] is kept as it is.",
        "For the metrics whose names begin with cc_, the render's colours are fitted to the reference's by a quadratic "
        "polynomial, five times over.",
        "The render is rounded to 8 bits, the reference is kept as floats, the mask is truncated to 8 bits.",
        "The right half is scored: the columns from W // 2 on.",
        "4 pixels are cut from each side.",
        "Both images are cropped to the mask's bounding box.",
        "Means over views are rounded to 5 decimals; views are not.",
    ]


@pytest.mark.parametrize("field", ["alpha", "colour_correction", "out_of_range", "region", "mask"])
def test_each_value_of_a_field_has_a_sentence_of_its_own(field: str) -> None:
    from typing import get_args, get_type_hints

    from nvs_eval.protocols import Protocol

    values = get_args(get_type_hints(Protocol)[field])
    told = [tuple(preparation_words({**DEFINITION, field: value})) for value in values]
    assert len(set(told)) == len(values)
    assert not [sentence for sentences in told for sentence in sentences if sentence.startswith(f"{field} is '")]
    assert f"{field} is 'new'." in preparation_words({**DEFINITION, field: "new"})


def test_metrics_in_words() -> None:
    assert metric_words("mae", "mae|v1", {}) == "the mean absolute error."
    assert metric_words("cc_psnr", "psnr|range:255|v1", {}) == (
        "the peak signal-to-noise ratio of the colour-corrected render; it has a data range of 255."
    )
    assert metric_words("flip", "flip|ppd:67|v1", {}) == "a metric of a plugin; it has 'ppd:67'."
    parts = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_vgg"}
    assert metric_words("mipnerf_average", "", parts) == (
        "mip-NeRF's average error, made of each view's psnr, ssim and lpips_vgg."
    )
