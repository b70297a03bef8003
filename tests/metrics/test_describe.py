from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from support.agreement import assert_agree, generator
from support.pairs import pairs

from nvs_eval.errors import InputError
from nvs_eval.metrics.describe import Metric, describe
from nvs_eval.metrics.lpips import metric as lpips_metric
from nvs_eval.metrics.psnr.metric import mse, psnr
from nvs_eval.metrics.registry import about_of
from nvs_eval.metrics.ssim.metric import KERNELS, ssim
from nvs_eval.metrics.weights.pins import NETS, Net
from nvs_eval.protocols import Protocol, named_protocols, parse_protocol

LPIPS = {"net": "squeeze", "version": "0.1", "input": "scaled", "normaliser": "lpips"}
SSIM = {"kernel": "valid", "data_range": 1}


# --- Signatures ---------------------------------------------------------------------------------------------------


def test_psnr() -> None:
    metric = describe("psnr", {"data_range": 255}).build()
    assert (metric.name, metric.unit, metric.higher_is_better) == ("psnr", "dB", True)
    assert metric.signature == "psnr|range:255|v1"
    reference, render = pairs()["odd sizes"]
    assert_agree(metric.function(reference, render), psnr(reference, render, data_range=255), "float64")


@pytest.mark.parametrize("data_range", [1, "pair"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_ssim(kernel: str, data_range: Any) -> None:
    metric = describe("ssim", {"kernel": kernel, "data_range": data_range}).build()
    assert (metric.name, metric.unit, metric.higher_is_better) == ("ssim", "", True)
    assert metric.signature == f"ssim|{KERNELS[kernel].signature(str(data_range))}|v1"
    reference, render = pairs()["odd sizes"]
    mask = torch.ones(1, 37, 53)
    expected = ssim(reference, render, mask=mask, kernel=kernel, data_range=data_range)
    assert_agree(metric.function(reference, render, mask=mask), expected, "float64")


def test_psnr_of_clamped_images() -> None:
    plain, clamped = (describe("psnr", {"data_range": 1, "clamp": clamp}).build() for clamp in (False, True))
    assert (plain.signature, clamped.signature) == ("psnr|range:1|v1", "psnr|range:1|clamp|v1")
    reference, render = (2 * image - 0.5 for image in pairs()["odd sizes"])
    mask = torch.linspace(0, 1, 37 * 53).reshape(1, 37, 53)
    expected = plain.function(reference.clamp(0, 1), render.clamp(0, 1), mask=mask)
    assert clamped.function(reference, render, mask=mask) == expected
    assert abs(plain.function(reference, render, mask=mask) - expected) > 0.1


def test_mae() -> None:
    metric = describe("mae", {}).build()
    assert (metric.name, metric.unit, metric.higher_is_better, metric.signature) == ("mae", "", False, "mae|v1")
    reference, render = pairs()["odd sizes"]
    assert_agree(metric.function(reference, render), (reference - render).abs().double().mean(), "float32")


def test_variance_floor_replaces_that_of_the_kernel() -> None:
    x, y = (1e-8 * torch.rand(3, 16, 16, generator=generator(seed), dtype=torch.float64) for seed in (0, 1))
    parameters = {"kernel": "dmpix", "data_range": 1e-6}
    default, none, high = (
        describe("ssim", parameters | changes).build()
        for changes in ({}, {"variance_floor": 0}, {"variance_floor": 0.00012345678})
    )
    assert default.signature == "ssim|win:gauss11s1.5|pad:valid|range:1e-06|cov:population|floor:2^-46|covclamp|v1"
    assert none.signature == default.signature.replace("floor:2^-46", "floor:0")
    assert high.signature == default.signature.replace("floor:2^-46", "floor:0.00012345678")
    assert len({metric.function(x, y).item() for metric in (default, none, high)}) == 3
    assert describe("ssim", parameters | {"variance_floor": 2.0**-46}).signature == default.signature


def test_corrected_metric_is_the_plain_one_with_another_name() -> None:
    plain, corrected = describe("psnr", {"data_range": 1}), describe("cc_psnr", {"data_range": 1})
    assert corrected.name == "cc_psnr"
    assert (corrected.signature, corrected.unit) == (plain.signature, plain.unit)
    assert describe("cc_lpips_squeeze", LPIPS).name == "cc_lpips_squeeze"


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"net": "alex"},
        {"net": "vgg"},
        {"version": "0.0"},
        {"input": "unscaled"},
        {"normaliser": "torchmetrics"},
        {"clamp": True},
    ],
)
def test_lpips(
    choices: dict[str, Any], lpips_of: Callable[..., Any], weights_folder: Callable[[Net], Path | None]
) -> None:
    chosen = LPIPS | choices
    net: Any = chosen["net"]
    described = describe(f"lpips_{net}", chosen)
    assert (described.unit, described.higher_is_better) == ("", False)
    clamp = "|clamp" if chosen.get("clamp") else ""
    expected = (
        f"lpips|net:{net}|heads:{chosen['version']}|input:{chosen['input']}{clamp}|norm:{chosen['normaliser']}|v1"
    )
    assert described.signature == expected
    metric = described.build(weights_dir=weights_folder(net))
    assert metric.signature == expected
    reference, render = pairs()["flat and flat"]
    assert_agree(metric.function(reference, render), lpips_of(**chosen)(reference, render), "float64")


def test_parameters_that_change_a_number_are_in_the_signature() -> None:
    described = [describe("psnr", {"data_range": data_range}) for data_range in (1, 255, 1.0000001)]
    described.append(describe("psnr", {"data_range": 1, "clamp": True}))
    described += [
        describe("ssim", {"kernel": kernel, "data_range": data_range})
        for kernel in KERNELS
        for data_range in (1, 255, "pair")
    ]
    described += [
        describe("ssim", {"kernel": kernel, "data_range": 1, "variance_floor": floor})
        for kernel in KERNELS
        for floor in (0.001, 0.0010000001)
    ]
    described += [
        describe(f"lpips_{net}", {**LPIPS, "net": net, "version": version, "input": scaling, **more})
        for net in NETS
        for version in ("0.1", "0.0")
        for scaling in ("scaled", "unscaled")
        for more in ({}, {"normaliser": "torchmetrics"}, {"clamp": True})
    ]
    assert (
        len({metric.signature for metric in described})
        == len(described)
        == 4 + 3 * len(KERNELS) + 2 * len(KERNELS) + 36
    )


def test_describing_reads_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(lpips_metric, "load_lpips", refuse)
    with pytest.raises(AssertionError):
        describe("lpips_squeeze", LPIPS).build()


# --- Errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        (
            "psrn",
            {},
            r"Unknown metric 'psrn'\. Did you mean 'psnr'\? Known: dists, dssim_ms, dssim_range1, ",
        ),
        ("psnr", {}, r"psnr lacks data_range: there is no default"),
        ("psnr", {"range": 1}, r"field of psnr 'range'\. Did you mean 'data_range'\?"),
        ("psnr", {1: 1}, r"field of psnr '1'"),
        ("psnr", {"data_range": 0}, r"data_range of psnr must be a finite number above 0\. Got 0\."),
        ("psnr", {"data_range": -1.0}, r"data_range of psnr must be .*Got -1\.0"),
        ("psnr", {"data_range": True}, r"data_range of psnr must be .*Got True"),
        ("psnr", {"data_range": "1"}, r"data_range of psnr must be .*Got '1'"),
        ("psnr", {"data_range": "pair"}, r"data_range of psnr must be .*Got 'pair'"),
        ("psnr", {"data_range": float("nan")}, r"data_range of psnr must be .*Got nan"),
        ("psnr", {"data_range": float("inf")}, r"data_range of psnr must be .*Got inf"),
        ("ssim", {"kernel": "valid"}, r"ssim lacks data_range"),
        ("ssim", {"kernel": "vaild", "data_range": 1}, r"kernel of ssim 'vaild'\. Did you mean 'valid'\?"),
        (
            "ssim",
            {"kernel": ["valid"], "data_range": 1},
            r"kernel of ssim must be 'valid', .* or 'luma5'\. Got \['",
        ),
        (
            "ssim",
            {"kernel": "valid", "data_range": "pairs"},
            r"must be a finite number above 0 or 'pair'\. Got 'pairs'",
        ),
        (
            "lpips_squeeze",
            {**LPIPS, "version": 0.1},
            r"of lpips_squeeze must be '0\.1' or '0\.0'\. Got 0\.1\. Quote it\.$",
        ),
        (
            "lpips_squeeze",
            {**LPIPS, "net": "squeezenet"},
            r"net of lpips_squeeze 'squeezenet'\. Did you mean 'squeeze'",
        ),
        ("lpips_squeeze", {**LPIPS, "input": "raw"}, r"input of lpips_squeeze 'raw'\. Known: scaled, unscaled"),
        (
            "lpips_squeeze",
            {**LPIPS, "normaliser": None},
            r"normaliser of lpips_squeeze must be 'lpips' or .*Got None",
        ),
        ("cc_psrn", {}, r"Unknown metric 'psrn'\. Did you mean 'psnr'\?"),
        ("mae", {"data_range": 1}, r"field of mae 'data_range'"),
        (
            "ssim",
            {**SSIM, "variance_floor": -1},
            r"ssim must be a finite number of at least 0 or None\. Got -1",
        ),
        ("ssim", {**SSIM, "variance_floor": "0"}, r"variance_floor of ssim must be .*Got '0'"),
        ("ssim", {**SSIM, "floor": 0}, r"field of ssim 'floor'\. Did you mean 'variance_floor'\?"),
        ("lpips_squeeze", {**LPIPS, "clamp": 1}, r"clamp of lpips_squeeze must be True or False\. Got 1"),
        ("lpips_squeeze", {"net": "squeeze"}, r"lpips_squeeze lacks version, input, normaliser"),
        ("lpips_alex", LPIPS, r"'lpips_alex' has the net 'squeeze'\. Call it lpips_squeeze"),
        ("lpips", LPIPS, r"'lpips' has the net 'squeeze'\. Call it lpips_squeeze"),
    ],
)
def test_wrong_description_is_an_error(name: str, parameters: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        describe(name, parameters)


@pytest.mark.parametrize(
    ("name", "parameters", "mask", "message"),
    [
        ("lpips_squeeze", LPIPS, "windows", r"`mask: windows`.* valid-pixels, multiply, fill, bbox or dycheck, or"),
        ("ssim", {"kernel": "zero", "data_range": 1}, "dycheck", r"kernel 'zero', .* `mask: dycheck`"),
        ("ssim", {"kernel": "uniform7-rgb", "data_range": 1}, "dycheck", r"kernel 'uniform7-rgb', .* Use dmpix"),
    ],
)
def test_mask_that_a_metric_does_not_support_is_an_error(
    name: str, parameters: Mapping[str, Any], mask: Any, message: str
) -> None:
    assert describe(name, parameters, "valid-pixels")
    with pytest.raises(InputError, match=message):
        describe(name, parameters, mask)


def test_longer_key_distinguishes_metrics_of_a_family() -> None:
    assert describe("lpips_squeeze_unscaled", {**LPIPS, "input": "unscaled"}).name == "lpips_squeeze_unscaled"
    assert describe("ssim_reflect", {"kernel": "reflect", "data_range": 1}).name == "ssim_reflect"


# --- Plugins ------------------------------------------------------------------------------------------------------


def plugin(monkeypatch: pytest.MonkeyPatch, load: Callable[[], Any]) -> None:
    entry = SimpleNamespace(name="mse", dist=SimpleNamespace(name="their-package"), load=load)
    monkeypatch.setattr("nvs_eval.system.plugins.entry_points", lambda group: [entry] * (group == "nvs_eval.metrics"))


def test_plugin_metric_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Metric("mse", "", False, "mse|v1", mse)
    plugin(monkeypatch, lambda: metric)
    assert describe("mse", {}).build() == metric
    with pytest.raises(InputError, match=r"Unknown field of mse 'data_range'\. Known: none"):
        describe("mse", {"data_range": 1})
    with pytest.raises(InputError, match=r"Did you mean 'mse'\?"):
        describe("mze", {})


def test_title_and_decimals_of_a_plugin_metric_reach_records(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, lambda: Metric("mse", "", False, "mse|v1", mse, title="squared error", decimals=6))
    data = yaml.safe_load(named_protocols()["standard"].read_text("utf-8"))
    infos = parse_protocol({**data, "metrics": {"psnr": {"data_range": 1}, "mse": {}}}).infos
    assert (infos["mse"].title, infos["mse"].decimals) == ("squared error", 6)
    assert (infos["psnr"].title, infos["psnr"].decimals) == (None, None)


def test_smallest_size_of_a_plugin_metric_reaches_protocols(monkeypatch: pytest.MonkeyPatch) -> None:
    plugin(monkeypatch, lambda: Metric("mse", "", False, "mse|v1", mse, smallest=20))
    assert describe("mse", {}).smallest == describe("mse", {}).build().smallest == 20


def test_broken_plugin_is_named_with_its_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("no such module")

    plugin(monkeypatch, fail)
    with pytest.raises(InputError, match=r"metric 'mse' of their-package cannot be loaded: no such module"):
        describe("mse", {})
    plugin(monkeypatch, lambda: mse)
    with pytest.raises(InputError, match=r"'mse' must be a Metric, or .* Got a function\."):
        describe("mse", {})


def test_key_belongs_to_the_longest_registered_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*, scale: float, floor: float = 0.0) -> Metric:
        return Metric("psnr_hvs", "dB", True, f"psnr_hvs|scale:{scale:g}|floor:{floor:g}|v1", mse)

    names = {"psnr_hvs": make, "psnr_hvs_m": Metric("psnr_hvs_m", "dB", True, "psnr_hvs_m|v1", mse)}
    entries = [SimpleNamespace(name=name, load=lambda entry=entry: entry, dist=None) for name, entry in names.items()]
    monkeypatch.setattr("nvs_eval.system.plugins.entry_points", lambda group: entries)
    assert describe("psnr_hvs", {"scale": 2}).signature == "psnr_hvs|scale:2|floor:0|v1"
    blurred = describe("psnr_hvs_blurred", {"scale": 1, "floor": 0.5})
    assert (blurred.name, blurred.signature) == ("psnr_hvs_blurred", "psnr_hvs|scale:1|floor:0.5|v1")
    assert describe("cc_psnr_hvs_m", {}).signature == "psnr_hvs_m|v1"
    assert describe("psnr", {"data_range": 1}).signature.startswith("psnr|range:1")
    assert describe("psnr_other", {"data_range": 1}).signature.startswith("psnr|range:1")
    with pytest.raises(InputError, match="psnr_hvs"):
        describe("psnr_hvs", {})
    with pytest.raises(InputError, match="'sale'"):
        describe("psnr_hvs", {"sale": 2})


def test_a_plugins_metric_has_the_facts_of_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    info: Any = SimpleNamespace(unit="", higher_is_better=False, signature="psnr_hvs|v1", title=None, decimals=None)
    about = about_of("psnr_hvs", info)
    assert (about.title, about.unit, about.higher_is_better, about.decimals) == ("psnr_hvs", "", False, 4)
    assert about.words == ""
    facts = {"unit": "dB", "higher_is_better": True, "title": None, "decimals": None}
    psnr_2: Any = SimpleNamespace(signature="psnr|range:2|v1", **facts)
    about = about_of("psnr_2", psnr_2)
    assert (about.decimals, about.words) == (2, "the peak signal-to-noise ratio")


def test_unknown_or_uninstalled_metric_advises_the_plugin() -> None:
    with pytest.raises(
        InputError, match=r"^Unknown metric 'gradient'\..* If gradient is a metric of a plugin, install"
    ):
        describe("gradient", {})
    with pytest.raises(InputError, match=r"'luma'.* If psnr_y is a metric of a plugin, install the plugin\."):
        describe("psnr_y", {"luma": "bt601"})
    with pytest.raises(InputError, match=r"'luma'\. Known: clamp, data_range\.$"):
        describe("psnr", {"luma": "bt601"})


# --- Parameters and facts of a plugin's metric ------------------------------------------------------------------------


def registered(monkeypatch: pytest.MonkeyPatch, name: str, entry: object) -> None:
    point = SimpleNamespace(name=name, load=lambda: entry, dist=SimpleNamespace(name="their-package"))
    monkeypatch.setattr("nvs_eval.system.plugins.entry_points", lambda group: [point] * (group == "nvs_eval.metrics"))


def protocol_with(**metrics: dict[str, Any]) -> Protocol:
    data = yaml.safe_load(named_protocols()["standard"].read_text("utf-8"))
    return parse_protocol({**data, "metrics": {"psnr": {"data_range": 1}, **metrics}})


def test_false_and_none_are_values_of_a_plugins_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    def flag(*, robust: bool = True, order: int | None = 3) -> Metric:
        return Metric("flag", "", True, f"flag|robust:{robust}|order:{order}|v1", mse)

    registered(monkeypatch, "flag", flag)
    changed = protocol_with(flag={"robust": False, "order": None})
    assert changed.signatures["flag"].startswith("flag|robust:False|order:None|")
    assert changed.metrics["flag"] == {"robust": False, "order": None}
    # A default that is written out does not change the fingerprint.
    defaults = protocol_with(flag={"robust": True, "order": 3})
    assert defaults.fingerprint == protocol_with(flag={}).fingerprint != changed.fingerprint


def test_false_is_given_for_a_required_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*, robust: bool) -> Metric:
        return Metric("req", "", True, f"req|robust:{robust}|v1", mse)

    registered(monkeypatch, "req", make)
    assert protocol_with(req={"robust": False}).signatures["req"].startswith("req|robust:False|")


def test_defaults_of_built_in_metrics_change_no_fingerprint() -> None:
    plain, full = ({**LPIPS}, {**LPIPS, "clamp": False, "precision": "exact"})
    assert protocol_with(lpips_squeeze=plain).fingerprint == protocol_with(lpips_squeeze=full).fingerprint
    ssim_metric = {"kernel": "dmpix", "data_range": 1}
    floor = {**ssim_metric, "variance_floor": None}
    assert protocol_with(ssim=ssim_metric).fingerprint == protocol_with(ssim=floor).fingerprint


def test_plugins_metric_named_like_lpips_is_not_lpips(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*, precision: str = "low") -> Metric:
        return Metric("lpips_plug", "", False, f"lpips_plug|precision:{precision}|v1", mse)

    registered(monkeypatch, "lpips_plug", make)
    protocol = protocol_with(lpips_plug={"precision": "fast"})
    assert (protocol.nets, protocol.precision, protocol.label) == ([], "exact", "standard")
    assert protocol.with_precision("fast") == protocol
    average = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_plug"}
    with pytest.raises(InputError, match="lpips_plug"):
        protocol_with(ssim={"kernel": "valid", "data_range": 1}, lpips_plug={}, mipnerf_average=average)


def test_broken_maker_of_a_plugins_metric_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*, a: int) -> Metric:
        raise ValueError("a must be odd")

    registered(monkeypatch, "odd", make)
    with pytest.raises(InputError, match=r"metric 'odd' cannot be made: ValueError: a must be odd"):
        describe("odd", {"a": 2})


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": None},
        {"higher_is_better": "yes"},
        {"signature": "nosig"},
        {"signature": "ssim|win:3|v1"},
        {"decimals": -1},
        {"smallest": 0},
        {"title": 3},
    ],
)
def test_wrong_facts_of_a_plugins_metric_are_named(wrong: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"name": "bad", "unit": "", "higher_is_better": True, "signature": "bad|v1", "function": mse, **wrong}
    registered(monkeypatch, "bad", Metric(**facts))
    with pytest.raises(InputError, match=f"metric 'bad' is wrong: its {next(iter(wrong))} must be"):
        describe("bad", {})


def test_a_foreign_signature_gives_no_facts() -> None:
    info: Any = SimpleNamespace(unit="", higher_is_better=True, signature="ssim|v1", title=None, decimals=None)
    assert (about_of("my_metric", info).words, about_of("my_metric", info).decimals) == ("", 4)
