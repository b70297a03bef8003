from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import LIGHT, protocol_file, protocol_of

from nvs_eval.errors import InputError
from nvs_eval.metrics import registry
from nvs_eval.protocols import DEFAULT, Protocol, Quantise, load_protocol, named_protocols, parse_protocol

# What the published numbers mean. If one of these changes, so does the meaning of every number already written under
# the name: give the metric a new version in its signature, and say so in CHANGELOG.md.
PINNED = {
    "standard": (
        "bf75dd66",
        {
            "psnr": "psnr|range:1|q:round8|mask:valid-pixels|v1",
            "ssim": "ssim|win:gauss11s1.5|pad:valid|cov:population|range:1|q:round8|mask:valid-pixels|v1",
            "lpips_alex": "lpips|net:alex|heads:0.1|input:scaled|norm:lpips|q:round8|mask:valid-pixels|v1",
            "lpips_vgg": "lpips|net:vgg|heads:0.1|input:scaled|norm:lpips|q:round8|mask:valid-pixels|v1",
        },
    ),
    "nerfstudio": (
        "10190405",
        {
            "psnr": "psnr|range:1|q:float|v1",
            "ssim": "ssim|win:gauss11s1.5|pad:reflect|cov:population|floor:0|range:pair|q:float|v1",
            "lpips_alex": "lpips|net:alex|heads:0.1|input:scaled|norm:torchmetrics|q:float|v1",
        },
    ),
}


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


# --- Those that ship ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", named_protocols())
def test_every_protocol_that_ships_loads_under_its_files_name(name: str) -> None:
    protocol = load_protocol(name)
    assert protocol.name == name
    assert len(protocol.fingerprint) == 8
    assert int(protocol.fingerprint, 16) >= 0


@pytest.mark.parametrize("name", PINNED)
def test_what_a_shipped_protocol_means_is_pinned(name: str) -> None:
    protocol = load_protocol(name)
    assert (protocol.fingerprint, protocol.signatures) == PINNED[name]


def test_all_that_ship_are_pinned_and_the_default_is_one_of_them() -> None:
    assert set(PINNED) == set(named_protocols())
    assert DEFAULT in PINNED


# --- The fingerprint ----------------------------------------------------------------------------------------------


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
    "colour_correction": lambda p: replace(p, colour_correction="quadratic"),  # type: ignore[arg-type]
    "out_of_range": lambda p: replace(p, out_of_range="clamp"),
    "quantise": lambda p: replace(p, quantise=Quantise("round", "truncate", "none")),
    "region": lambda p: replace(p, region="right-half"),  # type: ignore[arg-type]
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
        ("metrics.psnr.data_range", 255),
        ("metrics.psnr.data_range", 1.0000001),
        ("metrics.ssim.kernel", "zero"),
        ("metrics.ssim.data_range", "pair"),
        ("metrics.psnr_again", {"data_range": 1}),
    ],
)
def test_every_parameter_is_in_the_fingerprint(path: str, value: object) -> None:
    assert parse_protocol(change(path, value)).fingerprint != protocol_of(LIGHT).fingerprint


def test_a_new_version_of_a_metric_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = protocol_of(LIGHT)
    make = registry._psnr

    def second(name: str, *, data_range: float) -> registry.Description:
        return replace(make(name, data_range=data_range), signature=f"psnr|range:{data_range:g}|v2")

    monkeypatch.setattr(registry, "_FAMILIES", {**registry._FAMILIES, "psnr": second})
    after = protocol_of(LIGHT)
    assert after.definition == before.definition
    assert after.signatures["psnr"] == "psnr|range:1|q:round8|mask:valid-pixels|v2"
    assert after.fingerprint != before.fingerprint


# --- Signatures ---------------------------------------------------------------------------------------------------


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
        ({"quantise": {"render": "none", "reference": "round", "mask": "none"}}, False),
        ({"quantise": {"render": "truncate", "reference": "truncate", "mask": "none"}}, False),
    ],
)
def test_whether_a_png_scores_the_same_as_the_render(changes: dict[str, Any], exact: bool) -> None:
    assert parse_protocol(light() | changes).exact_in_png == exact


# --- What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", [field.name for field in fields(Protocol)])
def test_missing_field_is_named(field: str) -> None:
    data = light()
    del data[field]
    with pytest.raises(InputError, match=rf"a protocol lacks {field}: nothing that changes a number has a default"):
        parse_protocol(data)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("quantize", "round", r"field of a protocol 'quantize'\. Did you mean 'quantise'\?"),
        ("quantise.renders", "round", r"field of quantise 'renders'\. Did you mean 'render'\?"),
        ("alpha", "composit", r"value of alpha 'composit'\. Did you mean 'composite'\? Known: composite, drop, error"),
        ("alpha", ["drop"], r"value of alpha"),
        ("colour_correction", "quadratic", r"value of colour_correction 'quadratic'\. Known: none"),
        ("out_of_range", "clip", r"value of out_of_range 'clip'\."),
        ("out_of_range", None, r"value of out_of_range 'None'\."),
        ("quantise.render", "rounded", r"value of render 'rounded'\. Did you mean 'round'\?"),
        ("quantise", "round", r"quantise must be a mapping with the fields render, reference, mask"),
        ("quantise", {"render": "round"}, r"quantise lacks reference, mask"),
        ("region", "left-half", r"value of region 'left-half'\. Known: full"),
        ("mask", "valid_pixels", r"value of mask 'valid_pixels'\. Did you mean 'valid-pixels'\?"),
        ("crop", -1, r"crop is -1, and a whole number of at least 0 is needed"),
        ("crop", 1.5, r"crop is 1\.5"),
        ("crop", True, r"crop is True"),
        ("crop", None, r"crop is None"),
        ("round_means", "5", r"round_means is '5'"),
        ("name", "", r"name is '', and a text is needed"),
        ("name", 2024, r"name is 2024, and a text is needed"),
        ("metrics", {}, r"metrics must be a mapping of at least one metric to its parameters"),
        ("metrics", ["psnr"], r"metrics must be a mapping"),
        ("metrics", {"psnr": 1}, r"metrics must be a mapping"),
        ("metrics", {7: {}}, r"metrics has the key 7, and the name of a metric is needed"),
        ("metrics.psnr.data_range", "one", r"data_range of psnr is 'one'"),
        ("metrics.sim", {}, r"Unknown metric 'sim'\. Did you mean 'ssim'\?"),
    ],
)
def test_wrong_field_is_named(path: str, value: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        parse_protocol(change(path, value))
    file = protocol_file(tmp_path, yaml.safe_dump(change(path, value)))
    with pytest.raises(InputError, match=rf"^The protocol file .*light\.yaml: .*{message}"):
        load_protocol(file)


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
