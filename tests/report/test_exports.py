"""Exports have the keys that scripts of other tools read, are valid JSON, and do not change results."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pinned import Pinned
from support.records import INFO, record, row

from nvs_eval.cli import main
from nvs_eval.errors import InputError
from nvs_eval.records.record import MetricInfo, Record, record_file, write_record
from nvs_eval.report.exports import FORMS, Export, inria, ns_eval

SCORES = (
    {"psnr": 20.0, "ssim": 0.75, "lpips_alex": 0.25, "lpips_vgg": 0.5, "mae": 0.1},
    {"psnr": 23.0, "ssim": 0.25, "lpips_alex": 0.5, "lpips_vgg": 0.25, "mae": 0.2},
    {"psnr": 29.0, "ssim": 0.5, "lpips_alex": 0.75, "lpips_vgg": 0.0, "mae": 0.3},
)
METRICS = {
    **INFO,
    "lpips_vgg": replace(INFO["lpips_alex"], signature="lpips|net:vgg|v1"),
    "mae": MetricInfo("", False, "mae|v1"),
}


def scored(*names: str, rows: int = 3, **changes: Any) -> Record:
    """Return a record with some of the metrics."""
    views = [replace(row(), name=f"{i:05d}", scores={name: SCORES[i][name] for name in names}) for i in range(rows)]
    values: dict[str, Any] = {"step": 30000, "run": "base", "metrics": {name: METRICS[name] for name in names}}
    return replace(record(), views=views, **{**values, **changes})


ALL = scored(*METRICS)


def content(export: Export, file: str) -> Any:
    """Return a file as a script reads it, through strict JSON."""
    return json.loads(json.dumps(export.files[file], allow_nan=False))


# --- ns-eval --------------------------------------------------------------------------------------------------------


def test_ns_eval_has_the_keys_and_types_of_its_own() -> None:
    output = content(ns_eval(ALL), "output.json")
    assert list(ns_eval(ALL).files) == ["output.json"]
    assert (output["experiment_name"], output["method_name"]) == ("fox", "nerfacto")
    assert output["checkpoint"] == "step-000030000.ckpt"
    keys = [f"{name}{end}" for name in ("psnr", "ssim", "lpips") for end in ("", "_std")]
    assert list(output["results"]) == keys
    for name, metric in (("psnr", "psnr"), ("ssim", "ssim"), ("lpips", "lpips_alex")):
        # Computed as in nerfstudio.
        values = torch.tensor([view.scores[metric] for view in ALL.views], dtype=torch.float64)
        deviation, mean = torch.std_mean(values)
        assert output["results"][name] == pytest.approx(float(mean), rel=1e-12)
        assert output["results"][f"{name}_std"] == pytest.approx(float(deviation), rel=1e-12)


def test_ns_eval_states_the_protocol(pinned: Pinned) -> None:
    assert content(ns_eval(ALL), "output.json")["nvs_eval"] == {
        "protocol": "standard",
        "fingerprint": "9f2c51ab",
        "signatures": {
            "psnr": INFO["psnr"].signature,
            "ssim": INFO["ssim"].signature,
            "lpips": INFO["lpips_alex"].signature,
        },
        "run": "base",
        "step": 30000,
        "split": "test",
        "views": 3,
    }
    pinned("export", "\n".join(ns_eval(ALL).messages))


def test_ns_eval_of_nerfstudios_protocol_has_no_messages() -> None:
    own = {"name": "nerfstudio", "definition": {"round_means": None}, "fingerprint": "10190405"}
    assert ns_eval(scored("psnr", "ssim", "lpips_alex", protocol=own)).messages == []


def test_ns_eval_uses_the_available_lpips() -> None:
    export = ns_eval(scored("psnr", "ssim", "lpips_vgg"))
    assert content(export, "output.json")["results"]["lpips"] == 0.25
    assert "lpips is the record's lpips_vgg; ns-eval uses AlexNet." in export.messages


def test_ns_eval_omits_missing_metrics_with_a_message() -> None:
    export = ns_eval(scored("psnr"))
    assert list(content(export, "output.json")["results"]) == ["psnr", "psnr_std"]
    assert "The record lacks ssim, lpips." in export.messages


def test_ns_eval_names_colour_corrected_scores_as_nerfstudio() -> None:
    names = {"cc_psnr": 21.0, "cc_ssim": 0.5, "cc_lpips_alex": 0.25}
    views = [replace(row(), scores=names)]
    export = ns_eval(
        replace(record(), views=views, metrics={name: MetricInfo("", True, f"{name}|v1") for name in names})
    )
    results = content(export, "output.json")["results"]
    assert (results["cc_psnr"], results["cc_ssim"], results["cc_lpips"]) == (21.0, 0.5, 0.25)


def test_ns_eval_of_one_view_has_no_deviation(pinned: Pinned) -> None:
    export = ns_eval(scored("psnr", "ssim", rows=1))
    results = content(export, "output.json")["results"]
    assert results == {"psnr": 20.0, "psnr_std": None, "ssim": 0.75, "ssim_std": None}
    pinned("export", export.messages[-1])


def test_ns_eval_of_an_infinity() -> None:
    views = [replace(view, scores={"psnr": value}) for view, value in zip(ALL.views, (math.inf, 20.0), strict=False)]
    export = ns_eval(replace(ALL, views=views, metrics={"psnr": INFO["psnr"]}))
    assert content(export, "output.json")["results"] == {"psnr": None, "psnr_std": None}
    assert export.messages[-1].endswith(": psnr, psnr_std.")


def test_ns_eval_has_the_speed_of_views_with_a_known_time() -> None:
    seconds = (None, 0.5, 0.25)
    views = [replace(view, render_seconds=value) for view, value in zip(ALL.views, seconds, strict=True)]
    results = content(ns_eval(replace(ALL, views=views)), "output.json")["results"]
    assert (results["fps"], results["num_rays_per_sec"]) == (3.0, 3.0 * 48 * 40)
    assert results["fps_std"] == pytest.approx(math.sqrt(2), rel=1e-12)


def test_ns_eval_without_a_step_has_an_unknown_checkpoint() -> None:
    assert content(ns_eval(replace(ALL, step=None)), "output.json")["checkpoint"] == "unknown"
    assert content(ns_eval(replace(ALL, step=0)), "output.json")["checkpoint"] == "step-000000000.ckpt"


# --- INRIA ----------------------------------------------------------------------------------------------------------


def test_inria_files_are_read_as_by_its_scripts() -> None:
    results, per_view = (content(inria(ALL), name) for name in ("results.json", "per_view.json"))
    # Scripts iterate over the methods, and read each by its keys.
    assert [(name, m["SSIM"], m["PSNR"], m["LPIPS"]) for name, m in results.items()] == [
        ("ours_30000", 0.5, 24.0, 0.25)
    ]
    (scores,) = per_view.values()
    assert scores["SSIM"] == {"00000.png": 0.75, "00001.png": 0.25, "00002.png": 0.5}
    assert scores["PSNR"] == {"00000.png": 20.0, "00001.png": 23.0, "00002.png": 29.0}
    assert scores["LPIPS"] == {"00000.png": 0.5, "00001.png": 0.25, "00002.png": 0.0}
    for method in (*results.values(), scores):
        assert list(method)[:3] == ["SSIM", "PSNR", "LPIPS"]
        assert method["nvs_eval"]["fingerprint"] == "9f2c51ab"
        assert method["nvs_eval"]["signatures"]["LPIPS"] == METRICS["lpips_vgg"].signature


def test_inria_reports_protocol_and_skipped_metrics(pinned: Pinned) -> None:
    pinned("export", "\n".join(inria(ALL).messages))
    own = {"name": "inria-3dgs", "definition": {"round_means": None}, "fingerprint": "00000000"}
    assert inria(scored("psnr", "ssim", "lpips_vgg", protocol=own)).messages == []


def test_inria_without_a_step() -> None:
    assert list(content(inria(replace(ALL, step=None)), "results.json")) == ["ours_final"]
    assert list(content(inria(replace(ALL, step=0)), "results.json")) == ["ours_0"]


def test_inria_needs_three_metrics(pinned: Pinned) -> None:
    with pytest.raises(InputError) as error:
        inria(scored("psnr", "lpips_alex"))
    pinned("export", error.value)


def test_inria_of_infinities() -> None:
    perfect = [replace(view, scores={**view.scores, "psnr": math.inf}) for view in ALL.views]
    export = inria(replace(ALL, views=perfect))
    assert content(export, "results.json")["ours_30000"]["PSNR"] is None
    assert set(content(export, "per_view.json")["ours_30000"]["PSNR"].values()) == {None}
    assert export.messages[-1].endswith(": PSNR, PSNR of 00000.png, PSNR of 00001.png, PSNR of 00002.png.")


def test_means_are_rounded_as_the_protocol_rounds_them() -> None:
    rounding = {"name": "r", "definition": {"round_means": 1}, "fingerprint": "00000000"}
    export = inria(replace(ALL, protocol=rounding))
    assert content(export, "results.json")["ours_30000"]["LPIPS"] == 0.2


# --- nvs-eval export ------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """File of a record in a folder of results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nvs-eval"])
    path = record_file(ALL, Path("out"))
    write_record(path, ALL)
    return path


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["export", *args]) == 2
    result = capsys.readouterr()
    assert result.out == ""
    return result.err


@pytest.mark.parametrize(
    ("form", "names"), [("ns-eval", ["output.json"]), ("inria", ["results.json", "per_view.json"])]
)
def test_export_writes_files_and_prints_their_paths(
    form: str, names: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(file), "--as", form, "--output", "new/folder"]) == 0
    result = capsys.readouterr()
    assert result.out == ""
    assert result.err.splitlines()[-len(names) :] == [f"Written: new/folder/{name}" for name in names]
    for name in names:
        assert json.loads(Path("new/folder", name).read_text()) == content(FORMS[form](ALL), name)


def test_export_writes_to_the_current_folder(file: Path) -> None:
    assert main(["export", str(file), "--as", "ns-eval"]) == 0
    assert Path("output.json").is_file()


def test_export_overwrites_only_with_the_option(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("per_view.json").write_text("mine")
    message = refused(capsys, str(file), "--as", "inria")
    assert message.endswith("\nError: per_view.json already exists. Use another --output, or --overwrite.\n")
    assert not Path("results.json").exists()
    assert Path("per_view.json").read_text() == "mine"
    assert main(["export", str(file), "--as", "inria", "--overwrite"]) == 0
    assert "SSIM" in Path("per_view.json").read_text()
    Path("results.json").unlink()
    capsys.readouterr()
    assert main(["export", str(file), "--as", "inria"]) == 0
    assert capsys.readouterr().err.splitlines()[-2:] == ["Written: results.json", "Unchanged: per_view.json"]


@pytest.mark.parametrize("folder", ["out", "out/fox/nerfacto/base/30000", "out/exports", "elsewhere/../out/fox"])
def test_export_does_not_write_into_the_results(
    folder: str, file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Path("elsewhere").mkdir()
    message = refused(capsys, str(file), "--as", "ns-eval", "--output", folder)
    assert f"must be outside the records of {tmp_path / 'out'}," in message
    assert list(tmp_path.rglob("output.json")) == []


def test_export_of_a_record_that_lies_elsewhere(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine").mkdir()
    file.rename("mine/record.json")
    assert "outside the records of" in refused(capsys, "mine/record.json", "--as", "ns-eval", "--output", "mine/sub")
    assert main(["export", "mine/record.json", "--as", "ns-eval"]) == 0


def test_export_of_other_json_is_an_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.json").write_text("{}")
    assert "x.json is not a record of nvs-eval" in refused(capsys, "x.json", "--as", "inria")
    assert "gone.json cannot be read" in refused(capsys, "gone.json", "--as", "inria")


@pytest.mark.parametrize("form", FORMS)
def test_views_that_failed_are_named(form: str, pinned: Pinned) -> None:
    part = replace(ALL, provenance={"failed": {"00003": "damaged"}})
    pinned("export", FORMS[form](part).messages[0])
    assert "incomplete" not in " ".join(FORMS[form](ALL).messages)
