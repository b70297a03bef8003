from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.protocols import LIGHT, protocol_file, protocol_of

from nvs_eval.errors import InputError
from nvs_eval.metrics import psnr
from nvs_eval.metrics.describe import Load
from nvs_eval.protocols import Protocol, Quantise, load_protocol, parse_protocol

ROUND = {"render": "round", "reference": "round"}
LPIPS = {"net": "squeeze", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
GREY = {"kernel": "uniform7-gray", "data_range": 255}
PARTS = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_squeeze"}


def light() -> dict[str, Any]:
    return yaml.safe_load(LIGHT)


def change(path: str, value: object) -> dict[str, Any]:
    """The light protocol with one thing changed, by its path with dots."""
    data = light()
    *outer, last = path.split(".")
    place = data
    for part in outer:
        place = place[part]
    place[last] = value
    return data


# --- The fingerprint ------------------------------------------------------------------------------------------------


def test_fingerprint_is_of_the_meaning_alone(tmp_path: Path) -> None:
    original = protocol_of(LIGHT).fingerprint
    turned = dict(reversed(light().items()))
    turned["metrics"] = dict(reversed(light()["metrics"].items()))
    turned["quantise"] = dict(reversed(light()["quantise"].items()))
    for text in (
        LIGHT.replace("name: light", "name: another"),
        LIGHT.replace("crop: 0", "crop: 0   # as ever"),
        LIGHT.replace("data_range: 1", "data_range: 1.0"),
        yaml.safe_dump(turned, sort_keys=False),
    ):
        assert text != LIGHT
        assert load_protocol(protocol_file(tmp_path, text)).fingerprint == original


CHANGES: dict[str, Callable[[Protocol], Protocol]] = {
    "alpha": lambda p: replace(p, alpha="drop"),
    "colour_correction": lambda p: replace(p, colour_correction="quadratic"),
    "out_of_range": lambda p: replace(p, out_of_range="clamp"),
    "quantise": lambda p: replace(p, quantise=Quantise("round", "truncate", "none")),
    "region": lambda p: replace(p, region="right-half"),
    "crop": lambda p: replace(p, crop=1),
    "mask": lambda p: replace(p, mask="none"),
    "metrics": lambda p: replace(p, metrics={"psnr": {"data_range": 1}}),
    "round_means": lambda p: replace(p, round_means=5),
}


@pytest.mark.parametrize("field", [field.name for field in fields(Protocol) if field.name != "name"])
def test_every_field_is_in_the_fingerprint(field: str) -> None:
    protocol = protocol_of(LIGHT)
    assert CHANGES[field](protocol).fingerprint != protocol.fingerprint


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("quantise.render", "truncate"),
        ("quantise.reference", "none"),
        ("quantise.mask", "truncate"),
        ("metrics.psnr.data_range", 255),
        ("metrics.psnr.data_range", 1.0000001),
        ("metrics.ssim.kernel", "zero"),
        ("metrics.ssim.data_range", "pair"),
        ("metrics.ssim.variance_floor", 0),
        ("metrics.mae", {}),
        ("metrics.psnr_again", {"data_range": 1}),
    ],
)
def test_every_parameter_is_in_the_fingerprint(path: str, value: object) -> None:
    assert parse_protocol(change(path, value)).fingerprint != protocol_of(LIGHT).fingerprint


def test_new_version_of_a_metric_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol_of(LIGHT)
    describe = psnr.describe_psnr

    def second(name: str, mask: Any, *, data_range: float) -> tuple[str, Load]:
        return f"psnr|range:{data_range:g}|v2", describe(name, mask, data_range=data_range)[1]

    monkeypatch.setattr(psnr, "describe_psnr", second)
    after = protocol_of(LIGHT)
    assert after.definition == before.definition
    assert after.signatures["psnr"] == "psnr|range:1|q:round8|mask:valid-pixels|v2"
    assert after.fingerprint != before.fingerprint


# --- Signatures -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        ({}, "q:round8|mask:valid-pixels"),
        ({"mask": "none"}, "q:round8"),
        ({"crop": 4, "mask": "none"}, "q:round8|crop:4"),
        ({"out_of_range": "clamp", "mask": "none"}, "q:round8|beyond:clamp"),
        ({"out_of_range": "keep", "mask": "none"}, "q:round8|beyond:keep"),
        ({"alpha": "drop", "mask": "none"}, "q:round8|alpha:drop"),
        ({"alpha": "error", "mask": "none"}, "q:round8"),
        ({"quantise": {"render": "round", "reference": "none", "mask": "none"}}, "q:round8/float|mask:valid-pixels"),
        ({"quantise": {"render": "truncate", "reference": "truncate", "mask": "none"}}, "q:trunc8|mask:valid-pixels"),
        ({"quantise": {**ROUND, "mask": "truncate"}}, "q:round8|mask:valid-pixels|qmask:trunc8"),
        ({"quantise": {**ROUND, "mask": "truncate"}, "mask": "none"}, "q:round8"),
        ({"mask": "ignored"}, "q:round8"),
        ({"mask": "multiply"}, "q:round8|mask:multiply"),
        ({"mask": "none", "region": "right-half", "crop": 2}, "q:round8|region:right-half|crop:2"),
    ],
)
def test_signature_says_what_the_preparation_does(changes: dict[str, Any], added: str) -> None:
    assert parse_protocol(light() | changes).signatures["psnr"] == f"psnr|range:1|{added}|v1"


@pytest.mark.parametrize(
    ("changes", "exact"),
    [
        ({}, True),
        ({"out_of_range": "clamp"}, True),
        ({"out_of_range": "keep"}, False),
        ({"colour_correction": "affine", "metrics": {"psnr": {"data_range": 1}, "cc_psnr": {"data_range": 1}}}, False),
        ({"quantise": {"render": "none", "reference": "round", "mask": "none"}}, False),
        ({"quantise": {"render": "truncate", "reference": "truncate", "mask": "none"}}, False),
    ],
)
def test_whether_a_png_scores_the_same_as_the_render(changes: dict[str, Any], exact: bool) -> None:
    assert parse_protocol(light() | changes).exact_in_png == exact


# --- What is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [field.name for field in fields(Protocol)])
def test_missing_field_is_named(field: str) -> None:
    data = light()
    del data[field]
    with pytest.raises(InputError, match=rf"a protocol lacks {field}: there is no default"):
        parse_protocol(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("quantize", "round", r"field of a protocol 'quantize'\. Did you mean 'quantise'\?"),
        ("quantise.renders", "round", r"field of quantise 'renders'\. Did you mean 'render'\?"),
        ("alpha", "composit", r"Unknown alpha 'composit'\. Did you mean 'composite'\? Known: composite, drop, error"),
        ("alpha", ["drop"], r"alpha must be 'composite', 'drop' or 'error'\. Got \['drop'\]"),
        ("colour_correction", "cubic", r"Unknown colour_correction 'cubic'\..* Known: affine, none, quadratic"),
        ("colour_correction", "affine", r"colour_correction is affine, and no metric begins with cc_: add cc_psnr"),
        ("out_of_range", "clip", r"Unknown out_of_range 'clip'\."),
        ("out_of_range", None, r"out_of_range must be 'error', 'clamp' or 'keep'\. Got None\."),
        ("quantise.render", "rounded", r"Unknown quantise\.render 'rounded'\. Did you mean 'round'\?"),
        ("quantise", "round", r"quantise must be a mapping with the fields render, reference, mask"),
        ("quantise", {"render": "round"}, r"quantise lacks reference, mask"),
        ("quantise.mask", "truncated", r"Unknown quantise\.mask 'truncated'\. Did you mean 'truncate'\?"),
        ("region", "left-half", r"Unknown region 'left-half'\. Did you mean 'right-half'\? Known: full, right-half"),
        ("mask", "dichek", r"Unknown mask 'dichek'\. Did you mean 'dycheck'\? Known: bbox, dycheck, fill, ignored, "),
        ("mask", "valid_pixels", r"Unknown mask 'valid_pixels'\. Did you mean 'valid-pixels'\?"),
        ("crop", -1, r"crop must be a whole number of at least 0\. Got -1\."),
        ("crop", 1.5, r"crop must be a whole number of at least 0\. Got 1\.5\."),
        ("crop", True, r"crop must be a whole number of at least 0\. Got True"),
        ("crop", None, r"crop must be a whole number of at least 0\. Got None"),
        ("round_means", "5", r"round_means must be a whole number of at least 0 or None\. Got '5'"),
        ("name", "", r"name must be a string\. Got ''\."),
        ("name", 2024, r"name must be a string\. Got 2024\. Put names of digits in quotes"),
        (
            "metrics",
            {},
            r"metrics must be a mapping of metrics to their parameters, such as .psnr: {data_range: 1}.\. Got {}",
        ),
        ("metrics", ["psnr"], r"metrics must be a mapping"),
        ("metrics", {"psnr": 1}, r"metrics\.psnr must be a mapping\. Got 1\."),
        ("metrics", {7: {}}, r"a name in metrics must be a string\. Got 7\."),
        ("metrics.psnr.data_range", "one", r"data_range of psnr must be a finite number above 0\. Got 'one'"),
        ("metrics.sim", {}, r"Unknown metric 'sim'\. Did you mean 'ssim'\?"),
        (
            "metrics.cc_psnr",
            {"data_range": 1},
            r"cc_psnr are of the colour-corrected render, and colour_correction is n",
        ),
        ("metrics.ssim.data_range", None, r"ssim lacks data_range"),
        ("metrics.mipnerf_average", {"psnr": "psnr"}, r"mipnerf_average lacks ssim, lpips: there is no default"),
        ("metrics.mipnerf_average", PARTS, r"lpips of mipnerf_average 'lpips_squeeze'"),
        ("metrics.mipnerf_average", {**PARTS, "ssim": "psnr"}, r"ssim of mipnerf_average 'psnr'.*\. Known: ssim"),
        (
            "metrics.mipnerf_average",
            {**PARTS, "psnr": ["psnr"]},
            r"psnr of mipnerf_average must be a string\.",
        ),
        (
            "metrics.mipnerf_average",
            {**PARTS, "mae": "mae"},
            r"field of mipnerf_average 'mae'\. .*Known: lpips, ",
        ),
    ],
)
def test_wrong_field_is_named(path: str, value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        parse_protocol(change(path, value))
    file = protocol_file(tmp_path, yaml.safe_dump(change(path, value), sort_keys=False))
    with pytest.raises(InputError, match=rf"^The protocol file .*light\.yaml: .*{message}"):
        load_protocol(file)


@pytest.mark.parametrize(
    ("line", "again", "said"),
    [
        ("crop: 0", "crop: 2", r"crop is given twice, .* in line 8\."),
        ("  psnr: {data_range: 1}", "  psnr: {data_range: 2}", "psnr is given twice, the second time in line 11"),
        ("mask: none}", "mask: none, render: none}", "render is given twice, the second time in line 5"),
    ],
)
def test_a_key_given_twice_is_an_error(line: str, again: str, said: str, tmp_path: Path) -> None:
    assert LIGHT.count(line) == 1
    both = again if line.endswith("}") and not line.startswith(" ") else f"{line}\n{again}"
    with pytest.raises(InputError, match=rf"light\.yaml: {said}"):
        load_protocol(protocol_file(tmp_path, LIGHT.replace(line, both)))


@pytest.mark.parametrize("rule", ["render", "reference"])
def test_the_grey_of_8_bit_levels_needs_them(rule: str) -> None:
    data = change("metrics.ssim", GREY)
    assert parse_protocol(data).metrics["ssim"] == GREY
    data["quantise"][rule] = "none"
    with pytest.raises(InputError, match=r"ssim has the kernel 'uniform7-gray', which is of 8-bit levels: quantise"):
        parse_protocol(data)


@pytest.mark.parametrize("data", [None, [], "standard", 3])
def test_what_is_no_mapping_is_refused(data: object) -> None:
    with pytest.raises(InputError, match=r"a protocol must be a mapping with the fields name, alpha, "):
        parse_protocol(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [", r"light\.yaml is not YAML"),
        (b"\xff\xfe\x00", r"light\.yaml is not YAML"),
        (b"", r"light\.yaml: a protocol must be a mapping"),
        (b"? [a, b]\n: 1", r"light\.yaml is not YAML"),
        (b"!!python/object/apply:os.system [exit]", r"light\.yaml is not YAML"),
    ],
)
def test_what_is_no_yaml_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "light.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_protocol(tmp_path / "light.yaml")


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"The protocol file .*mine\.yaml cannot be read: No such file"):
        load_protocol(tmp_path / "mine.yaml")


def test_unknown_name_lists_those_that_ship() -> None:
    with pytest.raises(
        InputError, match=r"protocol 'standrad'\. Did you mean 'standard'\? Known: .*nerfstudio.*\.yaml"
    ):
        load_protocol("standrad")


def test_a_file_may_be_given_by_path(tmp_path: Path) -> None:
    protocol = load_protocol(protocol_file(tmp_path))
    assert protocol == protocol_of(LIGHT)
    assert load_protocol(str(protocol_file(tmp_path, name="other.yml"))).fingerprint == protocol.fingerprint


def test_definition_reads_as_a_protocol_again() -> None:
    protocol = load_protocol("standard")
    again = parse_protocol({"name": "again", **copy.deepcopy(protocol.definition)})
    assert again.fingerprint == protocol.fingerprint


# --- Colour correction and the average ------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["quadratic", "affine"])
def test_correcting_colours_adds_a_corrected_score_for_each(how: Any) -> None:
    plain = parse_protocol(change("metrics.mae", {}))
    corrected = plain.colour_corrected(how)
    assert list(corrected.metrics) == ["psnr", "ssim", "mae", "cc_psnr", "cc_ssim", "cc_mae"]
    assert {corrected.metrics[f"cc_{name}"] == plain.metrics[name] for name in plain.metrics} == {True}
    assert corrected.fingerprint != plain.fingerprint
    for name, signature in plain.signatures.items():
        assert corrected.signatures[name] == signature
    assert corrected.signatures["cc_psnr"] == f"psnr|range:1|cc:{how}|q:round8|mask:valid-pixels|v1"
    # It is a protocol like any other: a file with its definition reads as it.
    again = parse_protocol({"name": "again", **copy.deepcopy(corrected.definition)})
    assert again.fingerprint == corrected.fingerprint


def test_correcting_colours_replaces_another_correction() -> None:
    affine = protocol_of(LIGHT).colour_corrected("affine")
    assert affine.colour_corrected("quadratic") == protocol_of(LIGHT).colour_corrected("quadratic")
    assert affine.fingerprint != affine.colour_corrected("quadratic").fingerprint
    assert affine.colour_corrected("affine") == affine


def with_average() -> Protocol:
    data = change("metrics.lpips_squeeze", LPIPS)
    data["metrics"]["mipnerf_average"] = PARTS
    return parse_protocol(data)


def test_the_average_says_the_signatures_of_its_parts() -> None:
    protocol = with_average()
    own = [description.signature for description in protocol.descriptions]
    signature = protocol.signatures["mipnerf_average"]
    assert signature == f"mipnerf_average|of:[{' '.join(own)}]|q:round8|mask:valid-pixels|v1"
    assert len(own) == 3
    info = protocol.infos["mipnerf_average"]
    assert (info.unit, info.higher_is_better) == ("", False)
    assert "cc_mipnerf_average" not in protocol.colour_corrected("affine").metrics


def test_parameter_with_its_default_keeps_the_fingerprint() -> None:
    data = change("metrics.lpips_squeeze", {**LPIPS, "clamp": False})
    data["metrics"]["ssim"]["variance_floor"] = None
    assert parse_protocol(data).fingerprint == parse_protocol(change("metrics.lpips_squeeze", LPIPS)).fingerprint
    clamped = parse_protocol(change("metrics.lpips_squeeze", {**LPIPS, "clamp": True}))
    assert clamped.fingerprint != parse_protocol(data).fingerprint


def test_metrics_that_have_no_meaning_for_the_mask_are_an_error() -> None:
    data = change("mask", "windows")
    assert parse_protocol(data).mask == "windows"
    data["metrics"]["lpips_squeeze"] = LPIPS
    with pytest.raises(InputError, match=r"lpips_squeeze has no windows"):
        parse_protocol(data)
