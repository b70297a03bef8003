"""Protocols: parsing, errors, fingerprints and signatures."""

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
from nvs_eval.metrics.describe import Described
from nvs_eval.metrics.psnr import metric as psnr
from nvs_eval.protocols import Protocol, Quantise, load_protocol, parse_protocol

ROUND = {"render": "round", "reference": "round"}
LPIPS = {"net": "squeeze", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
GREY = {"kernel": "uniform7-gray", "data_range": 255}
PARTS = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_squeeze"}


def light() -> dict[str, Any]:
    return yaml.safe_load(LIGHT)


def change(path: str, value: object) -> dict[str, Any]:
    """Return the light protocol with a new value at a dotted path."""
    data = light()
    *outer, last = path.split(".")
    place = data
    for part in outer:
        place = place[part]
    place[last] = value
    return data


# --- The fingerprint ------------------------------------------------------------------------------------------------


def test_fingerprint_depends_on_the_meaning_only(tmp_path: Path) -> None:
    original = protocol_of(LIGHT).fingerprint
    reordered = dict(reversed(light().items()))
    reordered["metrics"] = dict(reversed(light()["metrics"].items()))
    reordered["quantise"] = dict(reversed(light()["quantise"].items()))
    for text in (
        LIGHT.replace("name: light", "name: another"),
        LIGHT.replace("crop: 0", "crop: 0   # a comment"),
        LIGHT.replace("data_range: 1", "data_range: 1.0"),
        yaml.safe_dump(reordered, sort_keys=False),
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
def test_fingerprint_depends_on_every_field(field: str) -> None:
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
def test_fingerprint_depends_on_every_parameter(path: str, value: object) -> None:
    assert parse_protocol(change(path, value)).fingerprint != protocol_of(LIGHT).fingerprint


def test_new_version_of_a_metric_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol_of(LIGHT)
    describe = psnr.describe

    def second(name: str, mask: Any, *, data_range: float) -> Described:
        return replace(describe(name, mask, data_range=data_range), signature=f"psnr|range:{data_range:g}|v2")

    monkeypatch.setattr(psnr, "describe", second)
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
def test_signature_describes_the_preparation(changes: dict[str, Any], added: str) -> None:
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
def test_exact_in_png(changes: dict[str, Any], exact: bool) -> None:
    assert parse_protocol(light() | changes).exact_in_png == exact


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [field.name for field in fields(Protocol)])
def test_error_names_the_missing_field(field: str) -> None:
    data = light()
    del data[field]
    with pytest.raises(InputError, match=rf"^{field} is missing: every field of a protocol"):
        parse_protocol(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("quantize", "round", r"'quantize'.*'quantise'"),
        ("quantise.renders", "round", r"quantise 'renders'.*'render'"),
        ("alpha", "composit", r"alpha 'composit'.*'composite'.* composite, drop, error"),
        ("alpha", ["drop"], r"alpha must be 'composite', 'drop' or 'error'.*\['drop'\]"),
        ("colour_correction", "cubic", r"colour_correction 'cubic'.* affine, none, quadratic"),
        ("colour_correction", "affine", r"colour_correction.* cc_.*affine.*cc_psnr"),
        ("out_of_range", "clip", r"out_of_range 'clip'"),
        ("out_of_range", None, r"out_of_range must be 'error', 'clamp' or 'keep'.*None"),
        ("quantise.render", "rounded", r"quantise\.render 'rounded'.*'round'"),
        ("quantise", "round", r"quantise must be a mapping .*render, reference, mask"),
        ("quantise", {"render": "round"}, r"quantise .*reference, mask"),
        ("quantise.mask", "truncated", r"quantise\.mask 'truncated'.*'truncate'"),
        ("region", "left-half", r"region 'left-half'.*'right-half'.* full, right-half"),
        ("mask", "dichek", r"mask 'dichek'.*'dycheck'.* bbox, dycheck, fill, ignored, "),
        ("mask", "valid_pixels", r"mask 'valid_pixels'.*'valid-pixels'"),
        ("crop", -1, r"crop must be .* 0.*-1"),
        ("crop", 1.5, r"crop must be .* 0.*1\.5"),
        ("crop", True, r"crop must be .* 0.*True"),
        ("crop", None, r"crop must be .* 0.*None"),
        ("round_means", "5", r"round_means must be .* 0 or None.*'5'"),
        ("name", "", r"name must be a string.*''"),
        ("name", 2024, r"name must be a string.*2024.*quotes"),
        ("metrics", {}, r"metrics must be a mapping.*psnr: {data_range: 1}.*{}"),
        ("metrics", ["psnr"], r"metrics must be a mapping"),
        ("metrics", {"psnr": 1}, r"metrics\.psnr must be a mapping.* 1\."),
        ("metrics", {7: {}}, r"metrics must be a string.* 7\."),
        ("metrics.psnr.data_range", "one", r"data_range of psnr must be .* 0.*'one'"),
        ("metrics.sim", {}, r"metric 'sim'.*'ssim'"),
        ("metrics.cc_psnr", {"data_range": 1}, r"colour_correction.*cc_psnr"),
        ("metrics.ssim.data_range", None, r"data_range of ssim must be .* Got None"),
        ("metrics.mipnerf_average", {"psnr": "psnr"}, r"mipnerf_average .*ssim, lpips"),
        ("metrics.mipnerf_average", PARTS, r"lpips of mipnerf_average 'lpips_squeeze'"),
        ("metrics.mipnerf_average", {**PARTS, "ssim": "psnr"}, r"ssim of mipnerf_average 'psnr'.* ssim"),
        ("metrics.mipnerf_average", {**PARTS, "psnr": ["psnr"]}, r"psnr of mipnerf_average must be a string"),
        ("metrics.mipnerf_average", {**PARTS, "mae": "mae"}, r"mipnerf_average 'mae'.* lpips, "),
    ],
)
def test_error_names_the_wrong_field(path: str, value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        parse_protocol(change(path, value))
    file = protocol_file(tmp_path, yaml.safe_dump(change(path, value), sort_keys=False))
    with pytest.raises(InputError, match=rf"light\.yaml.*{message}"):
        load_protocol(file)


@pytest.mark.parametrize(
    ("line", "duplicate", "message"),
    [
        ("crop: 0", "crop: 2", "crop .*line 8"),
        ("  psnr: {data_range: 1}", "  psnr: {data_range: 2}", "psnr .*line 11"),
        ("mask: none}", "mask: none, render: none}", "render .*line 5"),
    ],
)
def test_duplicate_key_is_refused(line: str, duplicate: str, message: str, tmp_path: Path) -> None:
    assert LIGHT.count(line) == 1
    both = duplicate if line.endswith("}") and not line.startswith(" ") else f"{line}\n{duplicate}"
    with pytest.raises(InputError, match=rf"light\.yaml.*{message}"):
        load_protocol(protocol_file(tmp_path, LIGHT.replace(line, both)))


@pytest.mark.parametrize("rule", ["render", "reference"])
def test_grey_kernel_requires_8_bit_levels(rule: str) -> None:
    data = change("metrics.ssim", GREY)
    assert parse_protocol(data).metrics["ssim"] == GREY
    data["quantise"][rule] = "none"
    with pytest.raises(InputError, match=r"quantise.*uniform7-gray.*ssim.*8-bit levels"):
        parse_protocol(data)


@pytest.mark.parametrize("data", [None, [], "standard", 3])
def test_protocol_must_be_a_mapping(data: object) -> None:
    with pytest.raises(InputError, match=r"must be a mapping .*name, alpha, "):
        parse_protocol(data)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: [", r"light\.yaml.* not .*YAML"),
        (b"\xff\xfe\x00", r"light\.yaml.* not .*YAML"),
        (b"", r"light\.yaml.* must be a mapping"),
        (b"? [a, b]\n: 1", r"light\.yaml.* not .*YAML"),
        (b"!!python/object/apply:os.system [exit]", r"light\.yaml.* not .*YAML"),
    ],
)
def test_protocol_file_must_be_valid_yaml(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "light.yaml").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_protocol(tmp_path / "light.yaml")


def test_error_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.yaml.*No such file"):
        load_protocol(tmp_path / "mine.yaml")


def test_error_lists_the_named_protocols() -> None:
    with pytest.raises(InputError, match=r"'standrad'.*'standard'.*nerfstudio.*\.yaml"):
        load_protocol("standrad")


def test_protocol_is_loaded_by_path(tmp_path: Path) -> None:
    protocol = load_protocol(protocol_file(tmp_path))
    assert protocol == protocol_of(LIGHT)
    assert load_protocol(str(protocol_file(tmp_path, name="other.yml"))).fingerprint == protocol.fingerprint


def test_definition_can_be_parsed() -> None:
    protocol = load_protocol("standard")
    parsed = parse_protocol({"name": "parsed", **copy.deepcopy(protocol.definition)})
    assert parsed.fingerprint == protocol.fingerprint


# --- Colour correction and the average ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["quadratic", "affine"])
def test_colour_correction_adds_a_corrected_score_per_metric(kind: Any) -> None:
    plain = parse_protocol(change("metrics.mae", {}))
    corrected = plain.colour_corrected(kind)
    assert list(corrected.metrics) == ["psnr", "ssim", "mae", "cc_psnr", "cc_ssim", "cc_mae"]
    assert {corrected.metrics[f"cc_{name}"] == plain.metrics[name] for name in plain.metrics} == {True}
    assert corrected.fingerprint != plain.fingerprint
    for name, signature in plain.signatures.items():
        assert corrected.signatures[name] == signature
    assert corrected.signatures["cc_psnr"] == f"psnr|range:1|cc:{kind}|q:round8|mask:valid-pixels|v1"
    # The corrected protocol can be written to a file like any other.
    parsed = parse_protocol({"name": "parsed", **copy.deepcopy(corrected.definition)})
    assert parsed.fingerprint == corrected.fingerprint


def test_colour_correction_replaces_another_one() -> None:
    affine = protocol_of(LIGHT).colour_corrected("affine")
    assert affine.colour_corrected("quadratic") == protocol_of(LIGHT).colour_corrected("quadratic")
    assert affine.fingerprint != affine.colour_corrected("quadratic").fingerprint
    assert affine.colour_corrected("affine") == affine


def with_average() -> Protocol:
    data = change("metrics.lpips_squeeze", LPIPS)
    data["metrics"]["mipnerf_average"] = PARTS
    return parse_protocol(data)


def test_signature_of_the_average_contains_those_of_its_parts() -> None:
    protocol = with_average()
    parts = [description.signature for description in protocol.descriptions]
    signature = protocol.signatures["mipnerf_average"]
    assert signature == f"mipnerf_average|of:[{' '.join(parts)}]|q:round8|mask:valid-pixels|v1"
    assert len(parts) == 3
    info = protocol.infos["mipnerf_average"]
    assert (info.unit, info.higher_is_better) == ("", False)
    assert "cc_mipnerf_average" not in protocol.colour_corrected("affine").metrics


def test_parameter_with_its_default_keeps_the_fingerprint() -> None:
    data = change("metrics.lpips_squeeze", {**LPIPS, "clamp": False})
    data["metrics"]["ssim"]["variance_floor"] = None
    assert parse_protocol(data).fingerprint == parse_protocol(change("metrics.lpips_squeeze", LPIPS)).fingerprint
    clamped = parse_protocol(change("metrics.lpips_squeeze", {**LPIPS, "clamp": True}))
    assert clamped.fingerprint != parse_protocol(data).fingerprint


def test_metrics_that_do_not_support_the_mask_are_refused() -> None:
    data = change("mask", "windows")
    assert parse_protocol(data).mask == "windows"
    data["metrics"]["lpips_squeeze"] = LPIPS
    with pytest.raises(InputError, match=r"lpips_squeeze .*windows"):
        parse_protocol(data)
