"""`--precision fast` is a different metric from exact LPIPS, is never mixed with it, and is named with its numbers."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.protocols import ALEX, LIGHT, changed, protocol_file, protocol_of, variant
from support.records import record, row
from support.scenes import image
from support.scoring import CPU, view

import nvs_eval
from nvs_eval.comparison.check import check
from nvs_eval.comparison.compare import compare_contenders, contenders_of, left_out_notes
from nvs_eval.diagnostics.inspection.record import inspect_record
from nvs_eval.diagnostics.verify.definition import Unknown, check_metric
from nvs_eval.diagnostics.verify.records import Compared, verify_record, worst_of
from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.metrics.describe import describe
from nvs_eval.metrics.lpips import precision as lpips_precision
from nvs_eval.metrics.lpips.metric import Lpips
from nvs_eval.metrics.lpips.precision import products
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import Protocol, load_protocol, named_protocols, parse_protocol
from nvs_eval.records.record import Record, read_record, record_file, write_record
from nvs_eval.report.audit import audit_table, audit_words
from nvs_eval.report.benchmarks import load_published
from nvs_eval.report.curve_plot import plot_files
from nvs_eval.report.curve_table import curve_table
from nvs_eval.report.curves import curves_of
from nvs_eval.report.exports import inria, ns_eval
from nvs_eval.report.frames import data_frame
from nvs_eval.report.loggers.runs import LoggedRecord, runs_of
from nvs_eval.report.tables.published_rows import check_published

PARTS = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_alex"}
WITH_ALEX = variant(metrics={"lpips_alex": ALEX})

# --- Protocols ------------------------------------------------------------------------------------------------------

# Fingerprints of fast protocols. The exact ones are all pinned beside their definitions.
FAST = {"standard": "7706df9f", "inria-3dgs": "0d872de4", "nerfbaselines-nerf": "379dbb12", "gsplat": "480957da"}


@pytest.mark.parametrize("name", sorted(named_protocols()))
def test_fast_changes_the_fingerprint_only_with_lpips(name: str) -> None:
    protocol = load_protocol(name)
    fast = protocol.with_precision("fast")
    assert protocol.with_precision("exact") == protocol
    assert "precision" not in json.dumps([protocol.definition, protocol.signatures])
    assert (fast == protocol) == (fast.fingerprint == protocol.fingerprint) == (not protocol.nets)
    assert (protocol.precision, fast.precision) == ("exact", "fast" if protocol.nets else "exact")
    assert fast.with_precision("exact") == protocol
    assert fast.with_precision("exact").fingerprint == protocol.fingerprint
    assert fast.with_precision("fast") == fast
    assert (fast.name, fast.nets) == (protocol.name, protocol.nets)


@pytest.mark.parametrize("name", FAST)
def test_fingerprints_of_fast_protocols_are_pinned(name: str) -> None:
    assert load_protocol(name).with_precision("fast").fingerprint == FAST[name]


def with_average(**lpips: object) -> Protocol:
    return changed(metrics={"lpips_alex": {**ALEX, **lpips}, "mipnerf_average": PARTS})


def test_only_signatures_with_lpips_contain_fast() -> None:
    plain = with_average().colour_corrected("affine")
    fast = plain.with_precision("fast")
    assert fast == with_average().with_precision("fast").colour_corrected("affine")
    assert fast.signatures["lpips_alex"] == (
        "lpips|net:alex|heads:0.1|input:scaled|norm:lpips|precision:fast|q:round8|mask:valid-pixels|v1"
    )
    different = [name for name, signature in fast.signatures.items() if signature != plain.signatures[name]]
    assert different == ["lpips_alex", "mipnerf_average", "cc_lpips_alex"]
    assert all(fast.signatures[name].count("|precision:fast|") == 1 for name in different)


def test_a_protocol_file_can_set_the_precision_and_exact_is_the_default() -> None:
    fast, exact = with_average(precision="fast"), with_average(precision="exact")
    assert fast == with_average().with_precision("fast")
    assert exact == with_average()
    assert exact.fingerprint == with_average().fingerprint
    again = parse_protocol({"name": "again", **copy.deepcopy(fast.definition)})
    assert again.fingerprint == fast.fingerprint != exact.fingerprint


@pytest.mark.parametrize(
    ("metric", "precision", "message"),
    [
        ("lpips_alex", "quick", r"precision of lpips_alex 'quick'\..* Known: exact, fast"),
        ("lpips_alex", True, "precision of lpips_alex must be 'exact' or 'fast'. Got True."),
        ("psnr", "fast", "Unknown field of psnr 'precision'"),
        ("psnr", "exact", "Unknown field of psnr 'precision'"),
        ("ssim", "fast", "Unknown field of ssim 'precision'"),
    ],
)
def test_an_unknown_precision_is_refused(metric: str, precision: object, message: str) -> None:
    data = yaml.safe_load(WITH_ALEX)
    data["metrics"][metric]["precision"] = precision
    with pytest.raises(InputError, match=message):
        parse_protocol(data)


# --- Scoring --------------------------------------------------------------------------------------------------------


def test_fast_shares_weights_but_not_passes_with_exact(lpips_of: Callable[..., Lpips]) -> None:
    exact, fast = lpips_of("alex"), lpips_of("alex", precision="fast")
    assert (exact.precision, fast.precision) == ("exact", "fast")
    assert fast.backbone is exact.backbone
    assert fast.feed != exact.feed
    assert fast.feed == lpips_of("alex", precision="fast", normaliser="torchmetrics").feed


def test_the_loaded_metric_has_the_precision_of_its_signature(
    weights_folder: Callable[[Net], Path | None],
) -> None:
    folder = weights_folder("alex")
    for precision in ("exact", "fast"):
        metric = describe("lpips_alex", {**ALEX, "precision": precision}).build(weights_dir=folder)
        assert isinstance(metric.function, Lpips)
        assert metric.function.precision == precision
        assert ("precision:fast" in metric.signature) == (precision == "fast")


def test_lack_of_memory_names_the_view_and_does_not_affect_others(
    weights_folder: Callable[[Net], Path | None],
) -> None:
    scorer = Scorer([with_average(), protocol_of(LIGHT)], CPU, weights_folder("alex"), max_memory=1000)
    refused, scored = scorer.outcomes(view(image(0, 64, 64), image(1, 64, 64)))
    assert re.search(r"^View '.*': LPIPS with alex .* may be used\. Raise --max-memory", str(refused.error))
    assert scored.error is None and set(scored.scores) == set(protocol_of(LIGHT).metrics)


def test_lack_of_memory_for_one_network_does_not_affect_others(weights_folder: Callable[[Net], Path | None]) -> None:
    alex = with_average()
    vgg = replace(alex, metrics={"lpips_vgg": {**ALEX, "net": "vgg"}})
    scored = view(image(0, 64, 64), image(1, 64, 64))
    folder = weights_folder("vgg")
    (alone,), (refused,), together = (
        Scorer(protocols, CPU, folder, max_memory=40_000_000).outcomes(scored)
        for protocols in ([alex], [vgg], [alex, vgg])
    )
    assert alone.error is None
    assert together[0].scores == alone.scores
    assert "LPIPS with vgg" in str(refused.error)
    assert str(together[1].error) == str(refused.error)


@pytest.mark.parametrize("masked", [False, True])
def test_an_activation_beyond_float16_is_an_error(
    masked: bool, weights_folder: Callable[[Net], Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lpips, "normalised", lambda self, activation: activation / torch.inf * torch.inf)
    protocol = with_average(precision="fast")
    pair = view(image(0, 64, 64), image(1, 64, 64))
    if masked:
        protocol, pair = replace(protocol, mask="valid-pixels"), replace(pair, mask=torch.ones(64, 64))
    with pytest.raises(InputError, match=r"lpips_alex is undefined for view '.*overflows.* without `--precision fast`"):
        Scorer([protocol], CPU, weights_folder("alex")).score(pair)


def test_one_scorer_computes_both(weights_folder: Callable[[Net], Path | None]) -> None:
    protocols = [with_average(), with_average().with_precision("fast")]
    scored = view(image(0, 64, 64), image(1, 64, 64), image(2, 64, 64))
    exact, fast = Scorer(protocols, CPU, weights_folder("alex")).score(scored)
    (alone,) = Scorer(protocols[:1], CPU, weights_folder("alex")).score(scored)
    assert exact == alone
    assert (exact["psnr"], exact["ssim"]) == (fast["psnr"], fast["ssim"])
    assert fast["lpips_alex"] == pytest.approx(exact["lpips_alex"], rel=0.005)


@pytest.mark.parametrize(
    ("features", "fast"),
    [
        ([], []),
        (["avx512_bf16"], ["alex"]),
        (["amx_tile"], ["alex", "vgg"]),
        (["avx512_bf16", "amx_tile"], ["alex", "vgg"]),
    ],
)
def test_cpu_uses_bfloat16_for_networks_faster_with_it(
    features: list[str], fast: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for feature in ("avx512_bf16", "amx_tile"):
        supported = feature in features
        monkeypatch.setattr(torch.cpu, f"_is_{feature}_supported", lambda result=supported: result, raising=False)
    assert [net for net in ("alex", "squeeze", "vgg") if products("fast", CPU, net) == "bfloat16"] == fast


@pytest.mark.parametrize(
    ("precision", "device", "used"),
    [
        ("exact", "cpu", "float32"),
        ("exact", "cuda", "float32"),
        ("fast", "cpu", "bfloat16"),
        ("fast", "cuda", "float16"),
    ],
)
def test_arithmetic_of_the_networks(precision: Any, device: str, used: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: True)
    assert products(precision, torch.device(device), "vgg") == used


def provenance_of(*protocols: Protocol, weights: Path | None = None) -> list[dict[str, Any]]:
    records = evaluate(
        [view(image(0), image(1))], [FakeCheckpoint(500).id], Scorer(protocols, CPU, weights), Session(Path("out"))
    )
    return [{key: record.provenance.get(key) for key in ("tf32", "precision", "lpips_products")} for record in records]


def test_a_record_stores_the_arithmetic(
    weights_folder: Callable[[Net], Path | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: True)
    folder = weights_folder("alex")
    light, plain = protocol_of(LIGHT), with_average()
    exact = {"tf32": False, "precision": "exact", "lpips_products": None}
    fast = {"tf32": False, "precision": "fast", "lpips_products": "bfloat16"}
    assert provenance_of(light.with_precision("fast"), plain, plain.with_precision("fast"), weights=folder) == [
        *(exact, exact, fast),
    ]
    monkeypatch.setattr(lpips_precision, "_multiplies_bfloat16", lambda net: False)
    assert provenance_of(plain.with_precision("fast"), weights=folder)[0]["lpips_products"] == "float32"


# --- Commands -------------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(here: Path, cli: Callable[..., Said], weights_folder: Callable[[Net], Path | None]) -> Callable[..., Said]:
    """Run a command that scores under a protocol with LPIPS."""
    protocol_file(here, WITH_ALEX, "alex.yaml")
    folder = weights_folder("alex")
    places = () if folder is None else ("--weights-dir", str(folder))
    return lambda *words: cli(*words, "--protocol", "alex.yaml", *places)


def fingerprints(folder: Path) -> dict[str, str]:
    """Return the fingerprints of the records below a folder, by the title of their protocol."""
    return {record.protocol_title: record.fingerprint for record in nvs_eval.read_records(folder)}


SCORE = ("score", "garden/ours", "--reference", "garden/gt")


def test_records_of_both_coexist_and_are_named(scored: Callable[..., Said]) -> None:
    out = Path("nvs-eval-results")
    exact = scored(*SCORE)
    (file,) = out.rglob("*.json")
    before = file.read_bytes()
    fast = scored(*SCORE, "--precision", "fast")
    assert (exact.code, fast.code, file.read_bytes()) == (0, 0, before)
    protocol = protocol_of(WITH_ALEX)
    assert fingerprints(out) == {
        "light": protocol.fingerprint,
        "light, fast": protocol.with_precision("fast").fingerprint,
    }
    assert f"protocol light ({protocol.fingerprint})\n" in exact.out
    assert f"protocol light, fast ({protocol.with_precision('fast').fingerprint})\n" in fast.out
    assert "|precision:fast|" in fast.out


@pytest.mark.usefixtures("here")
def test_without_lpips_fast_equals_exact(cli: Callable[..., Said]) -> None:
    for options in ((), ("--precision", "fast"), ("--precision", "exact")):
        result = cli(*SCORE, "--protocol", "light.yaml", *options)
        assert f"protocol light ({protocol_of(LIGHT).fingerprint})\n" in result.out
    (file,) = Path("nvs-eval-results").rglob("*.json")
    assert read_record(file).provenance["precision"] == "exact"


def test_the_option_takes_precedence_over_the_file(scored: Callable[..., Said], here: Path) -> None:
    protocol_file(here, variant(metrics={"lpips_alex": {**ALEX, "precision": "fast"}}), "alex.yaml")
    assert "protocol light, fast (" in scored(*SCORE).out
    assert "protocol light (" in scored(*SCORE, "--precision", "exact").out


def test_a_fast_run_does_not_reuse_an_exact_one(scored: Callable[..., Said], opener: Opener) -> None:
    run = ("run", "--load-config", "config.yml", "--keep-renders", "png")
    for options in ((), ("--precision", "fast")):
        for _ in range(2):
            assert scored(*run, *options).code == 0
            assert len(opener.rendered) == 3 * 2  # The kept renders serve both.
    assert set(fingerprints(Path("nvs-eval-results"))) == {"light", "light, fast"}


def test_rescore_distinguishes_precisions(scored: Callable[..., Said]) -> None:
    scored(*SCORE)
    results = "nvs-eval-results"
    for count, first in ((0, "Record: "), (1, "already")):
        result = scored("rescore", results, "--precision", "fast")
        assert (result.code, first in result.err) == (0, True), count
    assert "already" in scored("rescore", results, "--precision", "exact").err


def test_a_suite_distinguishes_precisions(
    scored: Callable[..., Said], cli: Callable[..., Said], weights_folder: Callable[[Net], Path | None]
) -> None:
    data: dict[str, Any] = {"scenes": ["garden"], "protocol": "alex.yaml"}
    data["methods"] = {"ours": {"score": "{scene}/ours", "reference": "{scene}/gt"}}
    if folder := weights_folder("alex"):
        data["weights_dir"] = str(folder)
    for file, more in (("exact.yaml", {}), ("fast.yaml", {"precision": "fast"})):
        Path(file).write_text(yaml.safe_dump({**data, **more}), encoding="utf-8")
    assert "protocol light (" in cli("suite", "exact.yaml").out
    assert "1 done" in cli("suite", "exact.yaml", "--dry-run").out
    assert "1 to do" in cli("suite", "fast.yaml", "--dry-run").out
    assert "1 to do" in cli("suite", "exact.yaml", "--dry-run", "--precision", "fast").out
    assert "protocol light, fast (" in cli("suite", "exact.yaml", "--precision", "fast").out
    assert "1 done" in cli("suite", "fast.yaml", "--dry-run").out
    assert "protocol light (" in cli("suite", "fast.yaml", "--precision", "exact").out
    wrong = cli("suite", "fast.yaml", "--precision", "quick")
    assert wrong.code == 2


@pytest.mark.usefixtures("scored")
def test_python_has_the_same_option(weights_folder: Callable[[Net], Path | None]) -> None:
    records = [
        nvs_eval.score(
            "garden/ours",
            reference="garden/gt",
            protocol="alex.yaml",
            precision=precision,
            weights_dir=weights_folder("alex"),
        )[0]
        for precision in (None, "exact", "fast")
    ]
    assert [record.protocol_title for record in records] == ["light", "light", "light, fast"]


# --- Reports --------------------------------------------------------------------------------------------------------


def of(protocol: str, lpips: float = 0.25, *, fast: bool = False, views: int = 1, **changes: Any) -> Record:
    """Return a record with LPIPS (VGG16)."""
    used = load_protocol(protocol).with_precision("fast" if fast else "exact")
    metrics = {name: info for name, info in used.infos.items() if name in ("psnr", "ssim", "lpips_vgg")}
    scores = {"psnr": 25.0, "ssim": 0.75, "lpips_vgg": lpips}
    rows = [row(f"{index:04d}", **{name: scores[name] for name in metrics}) for index in range(views)]
    entry = {"name": used.name, "definition": used.definition, "fingerprint": used.fingerprint}
    return replace(record(), views=rows, protocol=entry, metrics=metrics, **changes)


EXACT, QUICK = of("inria-3dgs"), of("inria-3dgs", fast=True)
ADVICE = (
    "Fast and exact LPIPS are different metrics. Score again, or rescore kept renders with `nvs-eval rescore`, "
    "with the same `--precision`."
)


def test_title_of_a_record() -> None:
    assert (EXACT.fast, EXACT.protocol_title) == (False, "inria-3dgs")
    assert (QUICK.fast, QUICK.protocol_title) == (True, "inria-3dgs, fast")
    assert QUICK.protocol["name"] == "inria-3dgs"


@pytest.mark.parametrize("format", ["text", "markdown", "latex", "csv", "json", "html"])
@pytest.mark.parametrize("choices", [{}, {"per_view": True}, {"columns": "scene"}, {"metrics": "psnr"}])
def test_every_table_format_names_fast(format: str, choices: dict[str, Any]) -> None:
    assert "3dgs, fast" not in nvs_eval.table([EXACT], format=format, **choices)
    text = nvs_eval.table([EXACT, QUICK], format=format, **choices)
    assert "inria-3dgs, fast" in text
    assert text.count(QUICK.fingerprint) == text.count(EXACT.fingerprint) > 0


def test_fast_and_exact_are_separate_columns(tmp_path: Path, cli: Callable[..., Said]) -> None:
    for scored in (EXACT, QUICK):
        write_record(record_file(scored, tmp_path), scored)

    def shown(*protocols: str) -> list[bool]:
        out = cli("table", str(tmp_path), "--protocol", *protocols).out
        return [scored.fingerprint in out for scored in (EXACT, QUICK)]

    assert shown("inria-3dgs") == [True, True]
    assert shown("inria-3dgs, fast") == shown(QUICK.fingerprint) == [False, True]
    assert shown(EXACT.fingerprint) == [True, False]
    refused = cli("table", str(tmp_path), "--protocol", "fast")
    assert "Known: " in refused.err
    assert "inria-3dgs, fast" in refused.err
    long = cli("table", str(tmp_path), "--format", "csv", "--long").out
    assert long.count('"inria-3dgs, fast"') == 3


def test_a_data_frame_names_fast() -> None:
    pytest.importorskip("pandas")
    assert set(data_frame([EXACT, QUICK]).protocol) == {"inria-3dgs", "inria-3dgs, fast"}


def test_fast_and_exact_are_not_compared() -> None:
    other = replace(QUICK, method="splatfacto")
    (sides,) = contenders_of({"a": [EXACT], "b": [other]})
    compared = compare_contenders(sides, resamples=200).pairs[0]
    assert [*compared.differences] == ["psnr", "ssim"]
    skipped = [f"Skipped LPIPS (VGG, {word}), which some records lack" for word in ("exact", "fast")]
    assert sorted(compared.shared.notes) == skipped

    def alone(scored: Record) -> Record:
        views = [replace(view, scores={"lpips_vgg": view.scores["lpips_vgg"]}) for view in scored.views]
        return replace(scored, metrics={"lpips_vgg": scored.metrics["lpips_vgg"]}, views=views)

    with pytest.raises(InputError) as error:
        contenders_of({"a": [alone(EXACT)], "b": [alone(other)]})
    assert "a (nerfacto under inria-3dgs), b (splatfacto under inria-3dgs, fast)" in str(error.value)
    assert str(error.value).endswith(ADVICE)
    with pytest.raises(InputError) as plain:
        contenders_of({"a": [EXACT], "b": [of("standard", fast=True)]})
    assert "different metrics" not in str(plain.value)
    assert [*left_out_notes({"a": [EXACT, QUICK], "b": [replace(EXACT, method="b")]})] == []
    (sides,) = contenders_of({"a": [QUICK], "b": [other]})
    assert compare_contenders(sides, resamples=200).protocol == "inria-3dgs, fast"


@pytest.mark.parametrize(("new", "baseline"), [(EXACT, QUICK), (QUICK, EXACT)])
def test_neither_is_a_baseline_of_the_other(new: Record, baseline: Record) -> None:
    with pytest.raises(InputError) as error:
        check([new], [baseline])
    lacking = "precision:fast" if baseline.fast else "no precision"
    assert str(error.value) == (
        f"fox: the new results of nerfacto lack the metrics lpips_vgg[{lacking}] of the baseline. Score the same "
        f"metrics. {ADVICE}"
    )
    assert {result.protocol for result in check([QUICK], [QUICK], resamples=200).checks} == {"inria-3dgs, fast"}


def test_published_numbers_are_exact() -> None:
    published = load_published("3dgs")
    scene = next(iter(published.scores))
    exact, fast = (replace(scored, scene=scene) for scored in (EXACT, QUICK))
    check_published([published], [exact, fast])
    check_published([published], [fast])
    with pytest.raises(InputError, match="Score with `--protocol inria-3dgs`, rescore"):
        check_published([published], [replace(of("standard", fast=True), scene=scene)])
    text = nvs_eval.table([fast], with_published="3dgs")
    assert f"‡ 3DGS: LPIPS (VGG) is another number under protocol inria-3dgs ({EXACT.fingerprint})" in text
    assert "another number" not in nvs_eval.table([exact], with_published="3dgs")


def test_an_audit_names_fast() -> None:
    records = [of("standard", fast=True), of("inria-3dgs", 0.5, fast=True)]
    assert [cells[0].text for cells in audit_table(records).rows] == ["standard, fast", "inria-3dgs, fast"]
    said = "LPIPS is fast (`--precision fast`) and comparable only with fast LPIPS. PSNR, SSIM and MAE are exact."
    assert audit_words(records)[-1] == said
    assert said not in audit_words([of("standard"), EXACT])
    mixed = audit_words([of("standard"), of("gsplat-vgg", fast=True)])
    assert any("multiplies in fewer bits (`--precision fast`)" in sentence for sentence in mixed)
    (own, *_) = [sentence for sentence in mixed if sentence.startswith("Your LPIPS (VGG)")]
    assert "precision" not in own.replace("multiplies in float32", "")


def test_curves_name_fast() -> None:
    runs = [of("inria-3dgs", 0.5 / step, fast=fast, step=step, run="a") for fast in (False, True) for step in (1, 2)]
    (exact,), (fast,) = (curves_of(of_precision, lambda *_, **__: True) for of_precision in (runs[:2], runs[2:]))
    assert curve_table(fast).caption == f"protocol inria-3dgs, fast ({QUICK.fingerprint})"
    files = plot_files(Path("c.pdf"), [exact, fast])
    assert [file.name for file in files] == ["c-inria-3dgs.pdf", "c-inria-3dgs-fast.pdf"]
    (both,) = curves_of(runs, lambda *_, **__: True)
    metrics = [curve.metric for curve in both.curves]
    assert metrics == ["psnr", "ssim", "lpips_vgg[no precision]", "lpips_vgg[precision:fast]"]


def test_logged_scores_have_a_separate_label() -> None:
    logged = [LoggedRecord(scored, Path()) for scored in (EXACT, QUICK, replace(QUICK, split="train"))]
    assert [entry.label for entry in logged] == ["inria-3dgs", "inria-3dgs-fast", "inria-3dgs-fast-train"]
    assert len(runs_of(logged)) == 1


def test_the_training_hook_uses_the_label(weights_folder: Callable[[Net], Path | None]) -> None:
    hook = pytest.importorskip("nvs_eval_nerfstudio.hook")
    scorer = Scorer([with_average(), with_average(precision="fast")], CPU, weights_folder("alex"))
    for logged in (
        hook._scores(scorer, image(0, 64, 64), image(1, 64, 64)),
        hook._unscored(scorer, InputError("nothing")),
    ):
        assert list(logged) == [
            f"{label}/{metric}" for label in ("light", "light-fast") for metric in scorer.protocols[0].metrics
        ]


def test_inspect_shows_the_arithmetic(tmp_path: Path) -> None:
    facts = []
    quick = replace(QUICK, provenance={"lpips_products": "bfloat16"})
    for name, inspected in (("exact", EXACT), ("old", QUICK), ("fast", quick)):
        write_record(tmp_path / name, inspected)
        facts.append(dict(inspect_record(tmp_path / name).facts))
    assert [shown.get("precision") for shown in facts] == [
        None,
        "fast: LPIPS networks multiply in fewer bits than float32",
        "fast: LPIPS networks multiply in bfloat16",
    ]
    assert facts[2]["protocol"] == f"inria-3dgs, fast ({QUICK.fingerprint})"


def test_exports_name_fast() -> None:
    off = "was computed with `--precision fast`, within 0.5 % + 2e-4 of exact."
    assert not any(off in message for message in inria(EXACT).messages)
    export = inria(QUICK)
    assert f"LPIPS {off}" in export.messages
    assert export.files["results.json"]["ours_final"]["nvs_eval"]["protocol"] == "inria-3dgs, fast"
    assert f"lpips {off}" in ns_eval(QUICK).messages


# --- Verification ---------------------------------------------------------------------------------------------------


def test_a_fast_score_is_verified_with_its_tolerance(scored: Callable[..., Said]) -> None:
    scored(*SCORE, "--precision", "fast")
    (file,) = Path("nvs-eval-results").rglob("*.json")
    original = read_record(file)
    compared = verify_record(original, file, original.views).compared
    (exact, *_) = [score.recomputed for score in compared if score.metric == "lpips_alex"]
    tolerance = 5e-3 * exact + 2e-4
    for share, confirmed in ((0, True), (0.98, True), (-0.98, True), (1.02, False), (-1.02, False)):
        changed = {**original.views[0].scores, "lpips_alex": exact + share * tolerance}
        rows = [replace(original.views[0], scores=changed)]
        report = verify_record(replace(original, views=rows), file, rows)
        wrong = [score.metric for score in report.compared if not score.confirmed]
        assert wrong == ([] if confirmed else ["lpips_alex"]), share
        # PSNR and SSIM are exact.
        assert [score.tolerance for score in report.compared if score.metric != "lpips_alex"] == [1e-4, 1e-5]
        assert not report.changed


def test_the_worst_score_is_relative_to_its_tolerance() -> None:
    large, small = (
        Compared(*score, fast=True) for score in (("a", "lpips_alex", 1.004, 1.0), ("b", "lpips_alex", 0.013, 0.01))
    )
    assert worst_of([large, small]) == worst_of([small, large]) == [small]


@pytest.mark.parametrize(("precision", "known"), [("fast", True), ("exact", True), ("faster", False), (1, False)])
def test_a_precision_of_a_later_version_is_unknown(precision: object, known: bool) -> None:
    definition = {"metrics": {"lpips_alex": {**ALEX, "precision": precision}}}
    if known:
        check_metric(definition, "lpips_alex")
        return
    with pytest.raises(Unknown, match="precision"):
        check_metric(definition, "lpips_alex")
