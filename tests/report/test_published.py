from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from nvs_eval.errors import InputError
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.report.benchmarks import (
    Published,
    PublishedProtocol,
    decimals_of,
    load_published,
    load_suite,
    named_published,
    parse_published,
)

NAMES = sorted(named_published())

# 3dgrut's README has 27.22 / .817 below nine scenes with a mean of 26.95 / .810.
DISAGREES_WITH_ITSELF = {("3dgrt", "mipnerf360", "psnr"), ("3dgrt", "mipnerf360", "ssim")}

PUBLISHED = """\
name: ours
title: Ours
source: nobody, https://example.org
protocol: {name: inria-3dgs, fingerprint: "0123abcd"}
suites: [deepblending]
steps: 30000
note: a note
differs: {ssim: another window}
means:
  deepblending: {psnr: "29.40"}
scores:
  drjohnson: {psnr: "26.550", ssim: "0.90"}
  playroom: {psnr: "32.25"}
"""


# --- Built-in files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_file_has_its_name_and_a_source(name: str) -> None:
    published = load_published(name)
    assert published.name == name
    assert "https://" in published.source


@pytest.mark.parametrize("name", NAMES)
def test_the_fingerprint_is_that_of_the_named_protocol_now(name: str) -> None:
    published = load_published(name)
    assert published.protocol.name in named_protocols()
    assert published.protocol.fingerprint == load_protocol(published.protocol.name).fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_each_metric_is_the_protocols_or_listed_as_different(name: str) -> None:
    published = load_published(name)
    own = load_protocol(published.protocol.name).metrics
    assert [metric for metric in published.metrics if metric not in own and metric not in published.differs] == []


def distance(published: Published, suite: str, metric: str) -> Fraction | None:
    """Return the excess of a published mean over what rounding explains; None where a scene is missing."""
    rows = [published.scores.get(scene, {}) for scene in load_suite(suite).names]
    if not rows or not all(metric in row for row in rows):
        return None
    mean_published = published.means[suite][metric]
    values = [row[metric] for row in rows]
    mean = sum((Fraction(digits) for digits in values), Fraction(0)) / len(values)
    rounding = half_a_digit(mean_published) + sum(map(half_a_digit, values), Fraction(0)) / len(values)
    return abs(mean - Fraction(mean_published)) - rounding


def half_a_digit(digits: str) -> Fraction:
    return Fraction(1, 2 * 10 ** decimals_of(digits))


MEANS = [
    (name, suite, metric)
    for name in NAMES
    for suite, row in load_published(name).means.items()
    for metric in row
    if distance(load_published(name), suite, metric) is not None
]


def test_most_published_means_are_of_published_scenes() -> None:
    assert len(MEANS) > 60
    assert set(MEANS) >= DISAGREES_WITH_ITSELF


@pytest.mark.parametrize(("name", "suite", "metric"), MEANS)
def test_the_scenes_mean_is_the_published_mean(name: str, suite: str, metric: str) -> None:
    beyond = distance(load_published(name), suite, metric)
    assert beyond is not None
    assert (beyond > 0) == ((name, suite, metric) in DISAGREES_WITH_ITSELF)


def test_a_mean_that_is_a_digit_off_is_noticed() -> None:
    assert (distance(parse_published(changed(lambda d: None)), "deepblending", "psnr") or 0) <= 0
    for wrong in ("29.39", "29.41"):
        off = parse_published(changed(lambda d, wrong=wrong: d["means"]["deepblending"].update(psnr=wrong)))
        assert (distance(off, "deepblending", "psnr") or 0) > 0


def test_the_numbers_of_some_files_are_these() -> None:
    paper = load_published("3dgs")
    assert list(paper.scores["stump"].values()) == ["26.550", "0.775", "0.210"]
    assert paper.scores["stump"]["psnr"] == "26.550"
    assert paper.metrics == ("psnr", "ssim", "lpips_vgg")
    assert list(paper.scores["lego"]) == ["psnr"]
    assert load_published("zipnerf-nerfbaselines").scores["garden"]["lpips_vgg"] == "0.127"
    assert set(load_published("gsplat").differs) == {"ssim"}
    assert set(load_published("nerf").differs) == {"ssim", "lpips_vgg"}
    assert load_published("nerfacto").steps == 70000


def test_the_numbers_of_the_compressed_models_have_all_published_digits() -> None:
    hac = load_published("hac-lowrate")
    assert hac.scores["bicycle"] == {"psnr": "25.0472488", "ssim": "0.7415894", "lpips_vgg": "0.2642056"}
    assert hac.scores["truck"]["psnr"] == "25.8835316"
    assert (hac.suites[0], hac.differs) == ("mipnerf360-1600", {})
    assert set(load_published("mesongs-c1").differs) == {"psnr", "ssim", "lpips_vgg"}


def test_the_two_rooms_are_distinguished_by_suite() -> None:
    assert load_published("mipnerf360-nerfbaselines").suites == ("mipnerf360", "blender")
    assert load_published("mipnerf360-llff-nerfbaselines").suites == ("llff",)


# --- Custom files ---------------------------------------------------------------------------------------------------


def test_published_numbers_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(PUBLISHED, encoding="utf-8")
    assert load_published(path) == Published(
        "ours",
        "Ours",
        "nobody, https://example.org",
        PublishedProtocol("inria-3dgs", "0123abcd"),
        ("deepblending",),
        {
            "drjohnson": {"psnr": "26.550", "ssim": "0.90"},
            "playroom": {"psnr": "32.25"},
        },
        {"deepblending": {"psnr": "29.40"}},
        {"ssim": "another window"},
        30000,
        "a note",
    )


def test_optional_fields() -> None:
    def bare(data: dict[str, Any]) -> None:
        for field in ("means", "differs", "steps", "note"):
            del data[field]

    published = parse_published(changed(bare))
    assert (published.means, published.differs, published.steps, published.note) == ({}, {}, None, None)


def test_means_alone_are_enough_but_something_is_needed() -> None:
    data = changed(lambda d: (d.pop("scores"), d.pop("differs")))
    assert (parse_published(data).scores, parse_published(data).metrics) == ({}, ("psnr",))
    del data["means"]
    with pytest.raises(InputError, match=r"^published numbers must have scores or means\. Got neither\."):
        parse_published(data)


@pytest.mark.parametrize(("text", "decimals"), [("26.550", 3), ("27", 0), ("26.5", 1)])
def test_the_digits_survive(text: str, decimals: int) -> None:
    digits = parse_published(changed(lambda d: d["scores"]["drjohnson"].update(psnr=text))).scores["drjohnson"]["psnr"]
    assert (digits, decimals_of(digits)) == (text, decimals)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    data = copy.deepcopy(yaml.safe_load(PUBLISHED))
    change(data)
    return data


FINGERPRINT = r"^protocol\.fingerprint must be eight hexadecimal digits in quotes, .*Got "
DIGITS = r"^scores\.drjohnson\.psnr must be a number in quotes with all published digits"


def score(**row: object) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["scores"]["drjohnson"].update(row)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(sources="x"), r"^Unknown field of published numbers 'sources'\. Did you mean 'source'\?"),
        (lambda d: d.pop("suites"), r"^published numbers lacks suites: there is no default\.$"),
        (lambda d: d.update(title=3), r"^title must be a string\. Got 3\."),
        (
            lambda d: d.update(protocol="inria-3dgs"),
            r"^protocol must be a mapping with the fields name, fingerprint\. Got 'inria-3dgs'\.$",
        ),
        (lambda d: d["protocol"].update(name=None), r"^protocol\.name must be a string\. Got None\.$"),
        (lambda d: d["protocol"].update(fingerprint=12345678), FINGERPRINT + "12345678"),
        (lambda d: d["protocol"].update(fingerprint="0123ABCD"), FINGERPRINT + "'0123ABCD'"),
        (lambda d: d["protocol"].update(fingerprint="0123abcde"), FINGERPRINT + "'0123abcde'"),
        (
            lambda d: d.update(suites="deepblending"),
            r"^suites must be a list of strings that is not empty, such as .*Got 'deepblending'",
        ),
        (lambda d: d.update(suites=["deepblendin"]), r"^Unknown suite 'deepblendin'\. Did you mean 'deepblending'\?"),
        (lambda d: d.update(suites=["deepblending"] * 2), r"^suites must be distinct\. Got deepblending twice"),
        (lambda d: d.update(scores={}), r"^scores must be a mapping that is not empty, such as `garden: .*Got \{\}"),
        (lambda d: d["scores"].update(playroom={}), r"^scores\.playroom must be a mapping that is not empty"),
        (lambda d: d["scores"].update({1: {"psnr": "20"}}), r"^a name in scores must be a string\. Got 1\."),
        (lambda d: d["scores"].update(playrom={"psnr": "20"}), r"^Unknown scene 'playrom'\. Did you mean 'playroom'\?"),
        (score(pnsr="20"), r"^Unknown metric of scores\.drjohnson 'pnsr'\. Did you mean 'psnr'\?"),
        (score(psnr=26.55), DIGITS + r', such as "26\.550" .without quotes, it becomes 26\.55.\. Got 26\.55\.'),
        (score(psnr="26,55"), DIGITS + r".*Got '26,55'"),
        (score(psnr="nan"), DIGITS + r".*Got 'nan'"),
        (score(psnr="26.55 "), DIGITS + r".*Got '26\.55 '"),
        (score(psnr="26."), DIGITS + r".*Got '26\.'"),
        (score(psnr="9.99"), r"^scores\.drjohnson\.psnr must be between 10 and 60\. Got 9\.99\. Check the source\.$"),
        (score(psnr="60.1"), r"psnr must be between 10 and 60\. Got 60\.1"),
        (score(ssim="1.001"), r"ssim must be between 0 and 1\. Got 1\.001"),
        (score(lpips_vgg="26.5"), r"lpips_vgg must be between 0 and 1\. Got 26\.5"),
        (lambda d: d["means"]["deepblending"].update(psnr="2.94"), r"^means\.deepblending\.psnr must be between"),
        (lambda d: d.update(means={"deep": {"psnr": "29"}}), r"^Unknown suite of means 'deep'\."),
        (lambda d: d.update(means=None), r"^means must be a mapping that is not empty"),
        (lambda d: d.update(differs={"ssim": ""}), r"^differs\.ssim must be a string\. Got ''\.$"),
        (lambda d: d.update(differs={"lpips_vgg": "x"}), r"^Unknown metric of differs 'lpips_vgg'\. Known: psnr, ssim"),
        (lambda d: d.update(steps="30k"), r"^steps must be a whole number of at least 1 or None\. Got '30k'\.$"),
        (lambda d: d.update(note=[]), r"^note must be a string or None\. Got \[\]\.$"),
    ],
)
def test_malformed_published_numbers_are_errors(change: Callable[[dict[str, Any]], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_published(changed(change))


def test_a_scene_of_two_suites_is_an_error() -> None:
    data = changed(lambda d: d.update(suites=["mipnerf360", "llff"], scores={"room": {"psnr": "30"}}, means=None))
    del data["means"], data["differs"]
    with pytest.raises(InputError, match=r"^each scene must be in one suite\. Got room in mipnerf360 and llff\."):
        parse_published(data)


def test_a_scene_listed_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(PUBLISHED + '  playroom: {psnr: "32.26"}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"^The published file .*ours\.yaml: playroom is given twice, .* in line 14"):
        load_published(path)


def test_an_unknown_name_lists_the_known_and_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"^Unknown source of published numbers 'zipnerv'\. Did you mean 'zipnerf'\? Known: 2dgs, "
    ):
        load_published("zipnerv")


# --- Imports --------------------------------------------------------------------------------------------------------


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys; from nvs_eval.report.benchmarks import load_published; "
        "late = 'yaml' not in sys.modules; "
        "load_published('3dgs'); print(late, sorted({'torch', 'numpy', 'yaml'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True ['yaml']\n"
