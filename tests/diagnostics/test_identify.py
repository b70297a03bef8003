"""Identification: numbers made by each named protocol are traced to it, and changes of one field to their field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pairs import large_pairs
from support.protocols import protocol_file, rounding, variant

import nvs_eval
from nvs_eval.diagnostics.identify import identify as module
from nvs_eval.diagnostics.identify.fits import Fit, Scores, agree
from nvs_eval.diagnostics.identify.identify import POOLED
from nvs_eval.diagnostics.identify.model import Candidate, Identification
from nvs_eval.diagnostics.identify.numbers import Number, Numbers, Reported
from nvs_eval.diagnostics.identify.variants import single, variants
from nvs_eval.images.files import save_npy, save_png
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, load_protocol, named_protocols
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId

FLOAT32 = 1e-4
MASKS = {"none", "ignored"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two 8-bit references and float renders in [0, 1], large enough for MS-SSIM."""
    folder = tmp_path_factory.mktemp("scene")
    for index, name in enumerate(("large: photograph and its blur", "large: photograph and noise")):
        reference, render = (nvs_image(image) for image in large_pairs()[name])
        save_png(folder / "gt" / f"{index}.png", reference)
        save_npy(folder / "ours" / f"{index}.npy", render)
    return folder


def nvs_image(image: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(image[:162, :161].copy())


@pytest.fixture(scope="module")
def weights(weights_folder: Callable[[Net], Path | None]) -> None:
    """Skip the test if weights are missing. SqueezeNet's are only for variants."""
    nets: tuple[Net, ...] = ("alex", "vgg")
    for net in nets:
        assert weights_folder(net) is None, "the weights of the cache are used"


@pytest.fixture(scope="module")
def audited(scene: Path, weights: None) -> dict[str, Record]:
    """The record of each named protocol."""
    (records,) = nvs_eval.audit(scene / "ours", reference=scene / "gt")
    return {record.protocol["name"]: record for record in records}


@pytest.fixture(scope="module")
def once(scene: Path) -> Iterator[None]:
    """Make and score each cell once for all tests of this module."""
    scored: dict[str, Record] = {}
    changed: dict[tuple[str, str], list[tuple[str, Protocol]]] = {}
    score = module.score_folders

    def remembering(options: Any, callbacks: Any) -> list[Record]:
        if options.renders != (scene / "ours",):
            return score(options, callbacks)
        missing = tuple(cell for cell in options.cells if cell.fingerprint not in scored)
        if missing:
            scored.update({one.fingerprint: one for one in score(replace(options, cells=missing), callbacks)})
        return [scored[cell.fingerprint] for cell in options.cells if cell.fingerprint in scored]

    def remembered(protocol: Protocol, *, masked: bool) -> list[tuple[str, Protocol]]:
        key = (protocol.fingerprint, next(iter(protocol.metrics)))
        if key not in changed:
            changed[key] = list(variants(protocol, masked=masked))
        return changed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "variants", remembered)
        patch.setattr(module, "score_folders", remembering)
        yield


def identified(folder: Path, numbers: Mapping[str, Any], **options: Any) -> Identification:
    return nvs_eval.identify(folder / "ours", reference=folder / "gt", numbers=numbers, **options)


def candidate(found: Identification, name: str) -> Candidate:
    return next(one for one in (*found.candidates, *found.others) if one.protocol == name)


# --- The named protocols --------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(("name", "decimals"), [(name, 2 + i % 3) for i, name in enumerate(named_protocols())])
def test_numbers_of_each_named_protocol_are_identified(
    name: str, decimals: int, scene: Path, audited: Mapping[str, Record]
) -> None:
    means = {key: value for key, value in audited[name].means.items() if math.isfinite(value)}
    shown = {key: f"{value:.{decimals}f}" for key, value in means.items()}
    found = identified(scene, shown)

    unit = 10**-decimals

    def agrees(record: Record) -> bool:
        if not record.means.keys() >= shown.keys():
            return False
        offs = {key: record.means[key] - float(text) for key, text in shown.items()}
        rounded = all(abs(off) <= unit / 2 + FLOAT32 for off in offs.values())
        return rounded or all(-FLOAT32 <= off < unit + FLOAT32 for off in offs.values())

    expected = {other for other, record in audited.items() if agrees(record)}
    assert name in expected
    assert set(found.protocols) == expected
    assert not any(one.mends for one in found.agreeing)
    distances = [(not one.agrees, one.distance) for one in found.candidates]
    assert distances == sorted(distances)


@pytest.mark.slow
@pytest.mark.usefixtures("once")
def test_truncated_numbers_and_those_of_views_are_identified(scene: Path, audited: Mapping[str, Record]) -> None:
    record = audited["inria-3dgs"]
    truncated = {key: f"{math.floor(value * 1000) / 1000:.3f}" for key, value in record.means.items()}
    assert "inria-3dgs" in identified(scene, truncated).protocols
    views = {key: {f"{row.name}.png": row.scores[key] for row in record.views} for key in record.metrics}
    file = scene / "per_view.json"
    content = {"PSNR": views["psnr"], "SSIM": views["ssim"], "LPIPS": views["lpips_vgg"]}
    file.write_text(json.dumps({"ours_30000": content}))
    found = nvs_eval.identify(scene / "ours", reference=scene / "gt", numbers=file)
    assert sorted(found.protocols) == ["4dgaussians", "inria-3dgs"]


@pytest.mark.slow
@pytest.mark.usefixtures("once")
@pytest.mark.parametrize(
    ("truth", "name", "change"),
    [
        ("ever", "inria-3dgs", "metrics.lpips_vgg.input: scaled"),
        ("inria-3dgs", "ever", "metrics.lpips_vgg.input: unscaled"),
        ("gsplat", "ngp-pl", "metrics.lpips_alex.net: alex, in place of lpips_vgg"),
        ("gsplat", "nerfstudio-splatfacto", "metrics.ssim.kernel: reflect"),
        ("pixelsplat", "mipnerf", "metrics.ssim.kernel: valid-sample"),
        ("standard", "nerfstudio-splatfacto", "quantise.render: round"),
    ],
)
def test_one_field_that_would_mend_a_protocol_is_named(
    truth: str, name: str, change: str, scene: Path, audited: Mapping[str, Record]
) -> None:
    means = audited[truth].means
    lpips = "lpips_alex" if "lpips_alex" in means else "lpips_vgg"
    found = identified(scene, {"PSNR": means["psnr"], "SSIM": means["ssim"], "LPIPS": means[lpips]})
    assert truth in found.protocols
    assert name not in found.protocols
    assert change in candidate(found, name).mends


# --- Changes without networks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "mend"),
    [
        ({"quantise": rounding("truncate", "round")}, "quantise.render: truncate"),
        ({"quantise": rounding("round", "truncate")}, "quantise.reference: truncate"),
        ({"region": "right-half"}, "region: right-half"),
        ({"metrics": {"ssim": {"kernel": "zero", "data_range": 1}}}, "metrics.ssim.kernel: zero"),
        ({"metrics": {"ssim": {"kernel": "valid", "data_range": "pair"}}}, "metrics.ssim.data_range: pair"),
        ({"metrics": {"psnr": {"data_range": 255}}}, "metrics.psnr.data_range: 255"),
        ({"out_of_range": "keep"}, "out_of_range: keep"),
        ({"metrics": {"psnr": {"data_range": 1, "clamp": True}}, "out_of_range": "keep"}, None),
    ],
)
def test_changes_of_a_protocol_are_found(changes: dict[str, Any], mend: str | None, tmp_path: Path) -> None:
    random, contrast = np.random.default_rng(0), np.float32(0.5 if mend == "metrics.ssim.data_range: pair" else 1)
    for index in range(2):
        image = random.random((20, 24, 3), dtype=np.float32)
        save_npy(tmp_path / "gt" / f"{index}.npy", nvs_image(contrast * image))
        save_npy(tmp_path / "ours" / f"{index}.npy", nvs_image(contrast * (1.2 * image - 0.05 * index)))
    base = {"name": "base", "mask": "none", "out_of_range": "clamp", "quantise": rounding("none", "none")}
    if "quantise" in changes:
        base["quantise"] = rounding("round", "round")
    file = protocol_file(tmp_path, variant(**base))
    other = protocol_file(tmp_path, variant(**{**base, **changes, "name": "other"}), "other.yaml")
    (record,) = nvs_eval.score(tmp_path / "ours", reference=tmp_path / "gt", scene="s", protocol=str(other))
    found = identified(tmp_path, record.means, scene="s", protocol=str(file))
    (only,) = found.candidates
    assert (mend in only.mends) if mend else (only.mends == [])
    assert found.protocols == []


def test_psnr_of_the_mean_error_is_named(tmp_path: Path) -> None:
    for index, level in enumerate((0.1, 0.4)):
        save_npy(tmp_path / "gt" / f"{index}.npy", nvs_image(np.zeros((20, 24, 3), np.float32)))
        save_npy(tmp_path / "ours" / f"{index}.npy", nvs_image(np.full((20, 24, 3), level, np.float32)))
    file = str(protocol_file(tmp_path, variant(mask="none", quantise=rounding(), metrics={})))
    pooled = -10 * math.log10((0.1**2 + 0.4**2) / 2)
    found = identified(tmp_path, {"psnr": f"{pooled:.4f}"}, scene="s", protocol=file)
    assert candidate(found, "light").mends == [POOLED]
    mean = -10 * math.log10(0.1 * 0.4)
    assert identified(tmp_path, {"psnr": f"{mean:.4f}"}, scene="s", protocol=file).protocols == ["light"]


def test_variants_differ_in_one_field_and_are_valid() -> None:
    cell = single(load_protocol("nerfbaselines"), "ssim")
    changed = dict(variants(cell, masked=True))
    assert {"mask: valid-pixels", "quantise.mask: round", "metrics.ssim.kernel: zero", "alpha: drop"} <= changed.keys()
    assert "mask: multiply" not in changed
    assert "metrics.ssim.kernel: luma5" in changed
    assert not any("clamp" in change and "metrics" in change for change in changed)
    fingerprints = [protocol.fingerprint for protocol in changed.values()]
    assert len({cell.fingerprint, *fingerprints}) == len(fingerprints) + 1
    floats = dict(variants(single(load_protocol("gsplat"), "ssim"), masked=False))
    assert "metrics.ssim.kernel: uniform7-gray" not in floats  # It needs 8-bit levels.
    assert not any(change.startswith("mask") for change in floats)


def test_numbers_that_a_tool_computed_in_float32_agree(tmp_path: Path) -> None:
    from skimage.data import astronaut
    from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

    reference = astronaut()[:200, :200].astype(np.float32) / 255
    render = np.clip(reference - np.float32(0.02), 0, 1)  # Here float32 shifts SSIM by 2e-5.
    save_npy(tmp_path / "gt" / "0.npy", nvs_image(reference))
    save_npy(tmp_path / "ours" / "0.npy", nvs_image(render))
    pair = [nvs_image(image).permute(2, 0, 1)[None] for image in (render, reference)]
    psnr = peak_signal_noise_ratio(*pair, data_range=1.0).item()
    ssim = structural_similarity_index_measure(*pair, data_range=1.0)
    numbers = {"psnr": psnr, "ssim": float(ssim)}  # type: ignore[arg-type]
    found = identified(tmp_path, numbers, scene="s", protocol=("gsplat", "inria-3dgs", "nvs-bench"))
    assert found.protocols == ["gsplat"]


# --- Comparison -----------------------------------------------------------------------------------------------------


def fit(score: float, shown: str) -> Fit:
    reported = Reported("psnr", ("psnr",), Number.of(shown))
    found = Fit.of("psnr", reported, Scores({"a": score}, {"a": 1}, ["a"]))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("score", "shown", "rounded", "truncated"),
    [
        (25.2549, "25.25", True, True),
        (25.2551, "25.25", True, True),
        (25.2552, "25.25", False, True),
        (25.2599, "25.25", False, True),
        (25.2602, "25.25", False, False),
        (25.2451, "25.25", True, False),
        (25.2448, "25.25", False, False),
        (25.2500, "25.25", True, True),
        (math.inf, "inf", True, True),
        (math.inf, "100.0", False, False),
        (25.0, "inf", False, False),
    ],
)
def test_agreement_to_the_decimals_shown(score: float, shown: str, rounded: bool, truncated: bool) -> None:
    found = fit(score, shown)
    assert (found.rounded, found.truncated) == (rounded, truncated)
    assert found.off == pytest.approx(0.0 if math.isinf(score) and shown == "inf" else score - float(shown))


def test_a_tool_rounds_all_numbers_or_none() -> None:
    up, down = fit(25.2451, "25.25"), fit(25.2599, "25.25")
    assert agree([up, up])
    assert agree([down, down])
    assert not agree([up, down])


def test_views_without_a_score_cannot_be_compared() -> None:
    reported = Reported("psnr", ("psnr",), None, [("a", Number(1.0, 1.0)), ("b", Number(2.5, 0.1))])
    scores = Scores({"a": 1.2}, {"a": 1}, ["a", "b"])
    assert Fit.of("psnr", reported, scores) is None
    found = Fit.of("psnr", reported, replace(scores, views={"a": 1.2, "b": 2.5}))
    assert found is not None
    # JSON drops zeros at the end, so that 1.0 may be 1.00.
    assert (found.view, found.rounded, found.off) == ("a", False, pytest.approx(0.2))


def test_a_view_that_disagrees_is_shown_in_place_of_a_mean_that_agrees() -> None:
    reported = Reported("psnr", ("psnr",), Number(2.0, 0.1), [("a", Number(1.0, 0.1)), ("b", Number(3.0, 0.1))])
    views = {"a": 1.5, "b": 2.5}
    found = Fit.of("psnr", reported, Scores(views, dict.fromkeys(views, 1), list(views)))
    assert found is not None
    assert (found.value, found.view, found.off) == (2.0, "a", pytest.approx(0.5))


def test_protocols_with_equal_means_can_be_told_apart_by_their_views() -> None:
    def one(name: str, *scores: float) -> Candidate:
        views = dict(zip("abc", scores, strict=True))
        scored = Scores(views, dict.fromkeys(views, 1), list(views))
        found = Fit.of("psnr", Reported("psnr", ("psnr",), Number(2.0, 0.1)), scored)
        assert found is not None
        return Candidate(name, name, {"psnr": found})

    numbers = Numbers("", {"psnr": Reported("psnr", ("psnr",), Number(2.0, 0.1))})
    candidates = [one("x", 1.0, 2.0, 3.0), one("y", 2.0, 1.0, 3.0), one("z", 1.0, 2.0, 3.0 + 1e-12)]
    found = Identification(ResultId(scene="s", method="m"), numbers, 3, candidates, [])
    assert [[one.protocol for one in group] for group in found.groups] == [["x", "z"], ["y"]]
    assert found.to_plain()["same_scores"] == [["x", "z"]]
