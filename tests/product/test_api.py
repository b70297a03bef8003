"""The Python functions return the same records as the commands and print nothing."""

from __future__ import annotations

import inspect
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.checkpoints import Opener
from support.commands import Said
from support.pinned import Pinned
from support.records import record, row
from support.scenes import files_below, fill

import nvs_eval
from nvs_eval.diagnostics.causes.options import DiagnoseOptions
from nvs_eval.diagnostics.figures.options import FigureOptions, VideoOptions
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import (
    RESULTS,
    AuditOptions,
    IdentifyOptions,
    RescoreOptions,
    RunOptions,
    ScoreOptions,
    SuiteOptions,
)
from nvs_eval.records.record import Record, record_file, to_plain, write_record
from nvs_eval.report.page.options import PageOptions
from nvs_eval.report.tables.options import TableOptions

pytestmark = pytest.mark.usefixtures("here")

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")


def results(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the content of records as plain data, without command and times."""
    plain = json.loads(json.dumps([to_plain(record) for record in records]))
    for content in plain:
        for name in ("command", "started", "seconds"):
            del content["provenance"][name]
    return sorted(plain, key=lambda content: str((content["scene"], content["method"], content["step"])))


@pytest.fixture
def silent(capsys: pytest.CaptureFixture[str]) -> Callable[[], bool]:
    """Return a function that tells whether nothing was printed since its last call."""
    capsys.readouterr()
    return lambda: capsys.readouterr() == ("", "")


# --- Scoring --------------------------------------------------------------------------------------------------------


def test_score_returns_the_records_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    scored = nvs_eval.score(["garden/ours", "garden/theirs"], reference="garden/gt", protocol="light.yaml")
    assert silent()
    assert not RESULTS.exists()
    assert cli(*SCORE).code == 0
    assert results(scored) == results(nvs_eval.read_records(RESULTS))
    assert [record.method for record in scored] == ["ours", "theirs"]
    assert scored[0].provenance["command"] == ["nvs_eval.score"]


def test_score_writes_to_the_output_folder(silent: Callable[[], bool]) -> None:
    renders = Path("garden/ours")
    scored = nvs_eval.score(
        renders, reference=Path("garden/gt"), protocol=["light.yaml"], output_dir="out", method="mine"
    )
    assert silent()
    (file,) = Path("out").rglob("*.json")
    assert file.parts[:3] == ("out", "garden", "mine")
    assert [to_plain(record) for record in nvs_eval.read_records("out")] == [to_plain(record) for record in scored]
    assert (file.parent / str(scored[0].views[0].render)).is_file()


def test_unwritten_record_has_paths_relative_to_the_default_folder() -> None:
    (scored,) = nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml")
    folder = RESULTS / "garden" / "ours" / "final"
    folder.mkdir(parents=True)
    assert (folder / str(scored.views[0].render)).resolve() == Path("garden/ours/0001.png").resolve()


def test_score_takes_the_options_of_the_command(cli: Callable[..., Said]) -> None:
    masks = fill(Path("masks"), (255, 204))
    Path("garden/ours/0002.png").unlink()
    scored = nvs_eval.score(
        "garden/ours", reference="garden/gt", protocol="light.yaml", scene="s", method="m", colour_correct="affine",
        allow_missing=True, background=(1.0, 1.0, 1.0), masks=masks, device="cpu",
    )  # fmt: skip
    options = ("--scene", "s", "--method", "m", "--colour-correct", "affine", "--allow-missing", "--device", "cpu")
    result = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", *options,
               "--background", "white", "--masks", str(masks))  # fmt: skip
    assert result.code == 0
    assert results(scored) == results(nvs_eval.read_records(RESULTS))
    assert scored[0].views[0].coverage is not None


@pytest.mark.parametrize(
    "options",
    [
        {"renders": "nowhere"},
        {"renders": []},
        {"protocol": "lihgt"},
        {"protocol": ()},
        {"background": "pink"},
        {"masks": "garden/gt", "data_masks": True},
        {"method": ["a", "b"]},
    ],
    ids=str,
)
def test_wrong_input_is_an_input_error(options: dict[str, Any], silent: Callable[[], bool], pinned: Pinned) -> None:
    arguments = {"renders": "garden/ours", "reference": "garden/gt", "protocol": "light.yaml", **options}
    with pytest.raises(nvs_eval.InputError) as error:
        nvs_eval.score(arguments.pop("renders"), **arguments)
    pinned("score", str(error.value).partition(" Known: ")[0])
    assert silent()


def test_unusable_device_is_an_input_error(silent: Callable[[], bool]) -> None:
    with pytest.raises(nvs_eval.InputError, match="'abacus'"):
        nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml", device="abacus")
    assert silent()


def test_unused_masks_print_no_warning(silent: Callable[[], bool]) -> None:
    for name in ("color", "gt-color", "mask"):
        shutil.copytree("garden/gt", Path("nerfacto", name))
    scored = nvs_eval.score("nerfacto", reference="garden/gt", protocol="light.yaml")
    assert silent()
    assert len(scored) == 1


# --- Rendering ------------------------------------------------------------------------------------------------------


def test_run_returns_the_records_of_the_command(
    cli: Callable[..., Said], opener: Opener, silent: Callable[[], bool]
) -> None:
    options = {"views": ["a"], "every": 2, "split": "test", "eval_num_rays_per_chunk": 7, "data": "elsewhere"}
    evaluated = nvs_eval.run("config.yml", steps="all", protocol="light.yaml", **options)
    assert silent()
    assert [record.step for record in evaluated] == [500, 2500]
    written = files_below(RESULTS)
    assert any(name.endswith("500/renders/a.png") for name in written)
    shutil.rmtree(RESULTS)
    result = cli("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml", "--views", "a",
               "--every", "2", "--eval-num-rays-per-chunk", "7", "--data", "elsewhere")  # fmt: skip
    assert result.code == 0
    assert results(evaluated) == results(nvs_eval.read_records(RESULTS))
    assert files_below(RESULTS) == written
    calls = [{name: list(v) if isinstance(v, tuple) else v for name, v in call.items()} for call in opener.asked]
    assert all(callable(call.pop("warn")) for call in calls)
    assert calls[0] == calls[1]


def test_run_takes_steps_and_skips_finished_ones(opener: Opener, silent: Callable[[], bool]) -> None:
    del opener.given[1:]
    first = nvs_eval.run([Path("config.yml")], steps=[500], protocol="light.yaml", output_dir="out", method="mine")
    rendered = len(opener.rendered)
    again = nvs_eval.run("config.yml", steps=[500], protocol="light.yaml", output_dir="out", method="mine")
    assert silent()
    assert opener.asked[0]["steps"] == [500]
    assert len(opener.rendered) == rendered
    assert [to_plain(record) for record in again] == [to_plain(record) for record in first]
    assert files_below(Path("out")) != []
    assert not RESULTS.exists()


def test_run_without_a_config_is_an_input_error(pinned: Pinned) -> None:
    with pytest.raises(nvs_eval.InputError) as error:
        nvs_eval.run([])
    pinned("run", error.value)


# --- Tables ---------------------------------------------------------------------------------------------------------


def test_table_returns_the_table_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    scored = nvs_eval.score(["garden/ours", "garden/theirs"], reference="garden/gt", protocol="light.yaml",
                            output_dir=RESULTS)  # fmt: skip
    tables = [
        nvs_eval.table(scored),
        nvs_eval.table(scored, rows="method", metrics=["ssim", "psnr"], sort="ssim", decimals={"psnr": 1}),
        nvs_eval.table(scored, per_scene=True, per_view=True, metrics="ssim"),
    ]
    assert silent()
    assert tables[0] == cli("table", str(RESULTS)).out
    options = ("--rows", "method", "--metrics", "ssim", "psnr", "--sort", "ssim", "--decimals", "psnr=1")
    assert tables[1] == cli("table", str(RESULTS), *options).out
    assert tables[2] == cli("table", str(RESULTS), "--per-scene", "--per-view", "--metrics", "ssim").out


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        ([], {}, "records .*at least one record"),
        ([record()], {"format": "word"}, "Unknown format 'word'"),
        ([record()], {"per_scene": True, "rows": "scene"}, "scene"),
        ([record(), record()], {}, r"records\[0\] and records\[1\]"),
        ([record(), record([row("other")], method="b")], {}, "different views"),
        ([record()], {"metrics": ["psrn"]}, "psrn"),
    ],
)
def test_impossible_table_is_an_input_error(records: list[Record], options: dict[str, Any], message: str) -> None:
    with pytest.raises(nvs_eval.InputError, match=message):
        nvs_eval.table(records, **options)


def test_allow_mixed_makes_a_table_of_mixed_records() -> None:
    mixed = [record(), replace(record([row("other")]), method="b")]
    assert "different views" in nvs_eval.table(mixed, allow_mixed=True)


# --- compare --------------------------------------------------------------------------------------------------------


def side(method: str, gain: float, **changes: Any) -> Record:
    return record([row(f"{i:04}", psnr=20.0 + gain * (1 + 0.1 * i)) for i in range(8)], method=method, **changes)


def test_compare_returns_the_comparison_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    records = [side("a", 0.0), side("b", 0.3)]
    for one in records:
        write_record(record_file(one, Path("out")), one)
    (comparison,) = nvs_eval.compare(*([one] for one in records))
    assert silent()
    (pair,) = comparison.pairs
    assert re.match(r"b is better than a in PSNR .*0\.405 dB", pair.words[0])
    assert pair.differences["psnr"].verdict == "better"
    assert cli("compare", "out").out.startswith(pair.words[0])
    assert nvs_eval.compare(records)[0].pairs[0].words == pair.words


def test_impossible_comparison_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"side 1 .*standard"):
        nvs_eval.compare([side("a", 0.0)])
    with pytest.raises(InputError, match=r"side 1\[0\]"):
        nvs_eval.compare([side("a", 0.0), side("a", 1.0)], [side("b", 1.0)])
    with pytest.raises(InputError, match=r"^sides "):
        nvs_eval.compare()


# --- Other commands -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "kind", "exceptions"),
    [
        (nvs_eval.score, ScoreOptions, {"output_dir"}),
        (nvs_eval.run, RunOptions, set()),
        (nvs_eval.audit, AuditOptions, {"output_dir"}),
        (nvs_eval.identify, IdentifyOptions, set()),
        (nvs_eval.rescore, RescoreOptions, set()),
        (nvs_eval.diagnose, DiagnoseOptions, set()),
        (nvs_eval.figure, FigureOptions, set()),
        (nvs_eval.video, VideoOptions, set()),
        (nvs_eval.page, PageOptions, set()),
        (nvs_eval.suite, SuiteOptions, set()),
        (nvs_eval.table, TableOptions, {"decimals"}),
    ],
)
def test_function_has_the_options_of_its_command(function: Any, kind: type, exceptions: set[str]) -> None:
    parameters = dict(inspect.signature(function).parameters)
    options = {field.name: field for field in fields(kind)}
    extra = {"records", "format", "per_view", "mark", "label"} if kind is TableOptions else set()
    # `identify` writes no record, and fast scores are no tool's.
    hidden = {"output_dir", "overwrite", "precision"} if kind is IdentifyOptions else set()
    assert set(parameters) == {*options, *extra} - hidden
    for name, parameter in parameters.items():
        if name in extra:
            continue
        default = options[name].default
        if name in exceptions or default is MISSING or parameter.default is inspect.Parameter.empty:
            continue
        value: Any = parameter.default
        if isinstance(default, tuple) and default:
            value = (value,)
        assert (Path(value) if isinstance(default, Path) else value) == default, name
    assert all(f"    {name}: " in (function.__doc__ or "") for name in parameters)


def test_audit_returns_the_records_of_each_result(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    options = {"reference": "garden/gt", "protocol": "light.yaml", "output_dir": "mine"}
    by_result = nvs_eval.audit(["garden/ours", "garden/theirs"], **options)  # pyright: ignore
    assert silent()
    assert [[record.method for record in records] for records in by_result] == [["ours"], ["theirs"]]
    assert cli("audit", *SCORE[1:]).code == 0
    audited = [record for records in by_result for record in records]
    assert results(audited) == results(nvs_eval.read_records(RESULTS))


def test_rescore_returns_the_records_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    assert cli(*SCORE).code == 0
    again = nvs_eval.rescore(RESULTS, protocol="light.yaml", output_dir="again")
    assert silent()
    scores = [[row.scores for row in record.views] for record in nvs_eval.read_records(RESULTS)]
    assert [[row.scores for row in record.views] for record in nvs_eval.read_records("again")] == scores
    assert [record.id.label for record in again] == ["garden/ours", "garden/theirs"]


def test_suite_returns_records_and_what_is_not_done(silent: Callable[[], bool], pinned: Pinned) -> None:
    methods = {"ours": {"score": "{scene}/ours"}, "none": {"score": "{scene}/nowhere"}}
    plain = {"scenes": ["garden"], "protocol": "light.yaml", "reference": "{scene}/gt", "methods": methods}
    Path("suite.yaml").write_text(json.dumps(plain))
    result = nvs_eval.suite("suite.yaml")
    assert silent()
    assert [record.id.label for record in result.records] == ["garden/ours"]
    pinned("suite", "\n".join(result.not_done))


def test_check_and_curve_return_results_and_check_their_arguments(silent: Callable[[], bool]) -> None:
    better, worse = [side("a", 0.3)], [side("a", 0.0)]
    assert nvs_eval.check(better, worse).passed
    assert not nvs_eval.check(worse, better, tolerance={"psnr": 0.01}).passed
    with pytest.raises(InputError, match="psnr"):
        nvs_eval.check(worse, better, tolerance={"psnr": math.nan})
    with pytest.raises(InputError, match=r"^baseline .*at least one record"):
        nvs_eval.check(worse, [])
    with pytest.raises(InputError, match=r"^new .*at least one record"):
        nvs_eval.check([], worse)
    with pytest.raises(InputError, match=r"^records .*at least one record"):
        nvs_eval.curve([])
    with pytest.raises(InputError, match=r"new\[0\] and new\[1\]"):
        nvs_eval.check([*better, *worse], worse)
    (curves,) = nvs_eval.curve([side("a", 0.1 * step, step=step) for step in (1, 2, 3)])
    assert curves.scene == "fox"
    assert silent()


def test_functions_can_select_records_of_a_protocol(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    standard = [side("a", 0.1 * step, step=step) for step in (1, 2)] + [side("b", 0.3)]
    other = {"name": "other", "definition": {"round_means": None}, "fingerprint": "01234567"}
    mixed = [*standard, *(replace(one, protocol=other) for one in standard)]
    assert nvs_eval.table(mixed, protocol="standard") == nvs_eval.table(standard)
    assert [comparison.protocol for comparison in nvs_eval.compare(mixed, protocol="other")] == ["other"]
    checks = nvs_eval.check(mixed, mixed, protocol=["01234567"]).checks
    assert {check.protocol for check in checks} == {"other"}
    assert [curves.protocol for curves in nvs_eval.curve(mixed, protocol="other")] == ["other"]
    for one in mixed:
        write_record(record_file(one, Path("out")), one)
    assert len(nvs_eval.read_records("out")) == 2 * len(nvs_eval.read_records("out", protocol="other")) == 6
    assert silent()
    for function in (nvs_eval.table, nvs_eval.compare, nvs_eval.curve):
        with pytest.raises(InputError, match=r"^No record has protocol 'othr'. Did you mean 'other'"):
            function(mixed, protocol="othr")
    with pytest.raises(InputError, match=r"^No record has protocol 'othr'"):
        nvs_eval.check(mixed, mixed, protocol="othr")
    with pytest.raises(InputError, match=r"^No record has protocol 'othr'"):
        nvs_eval.read_records("out", protocol="othr")


def test_export_returns_the_files_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    one = record([row(psnr=20.0)])
    file = record_file(one, Path("out"))
    write_record(file, one)
    exported = nvs_eval.export(one, "ns-eval")
    assert silent()
    assert cli("export", str(file), "--as", "ns-eval", "--output", "theirs").code == 0
    assert {path.name: json.loads(path.read_text()) for path in Path("theirs").iterdir()} == exported.files
    with pytest.raises(InputError, match=r"^Unknown form .*'ns-eval'"):
        nvs_eval.export(one, "nseval")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match=r"^record must be a record.* Got 'out'"):
        nvs_eval.export("out", "ns-eval")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="lpips_vgg"):
        nvs_eval.export(one, "inria")


def test_functions_on_the_installation_match_the_commands(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    words, sources = nvs_eval.protocol_words("inria-3dgs"), nvs_eval.published()
    (source,) = nvs_eval.published(sources[0].name)
    backbones = nvs_eval.weights()
    assert silent()
    assert f"{words}\n" == cli("protocols", "inria-3dgs").out
    assert max(map(len, nvs_eval.protocol_words("inria-3dgs", width=60).splitlines()[:3])) <= 60
    assert source == sources[0]
    listed = cli("published").out
    assert all(source.name in listed for source in sources)
    assert [backbone.net for backbone in backbones] == ["alex", "vgg", "squeeze"]
    shown = cli("weights").out
    assert all(str(backbone.path or "-") in shown for backbone in backbones)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("protocol_words", {"protocol": "standart"}, "^Unknown protocol 'standart'. Did you mean 'standard'"),
        ("weights", {"weights_dir": "gone"}, "gone"),
        ("install_weights", {"files": "gone.pth"}, "gone.pth"),
        ("verify_installation", {"device": "tpu"}, "tpu"),
    ],
)
def test_unknown_protocol_file_or_device_is_an_input_error(
    function: str, arguments: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        getattr(nvs_eval, function)(**arguments)


def test_installation_is_verified_on_the_chosen_device(monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.diagnostics.verify import installation

    monkeypatch.setattr(installation, "verify_installation", lambda device, folder: (str(device), folder))
    assert nvs_eval.verify_installation(device="cpu", weights_dir="here") == ("cpu", Path("here"))


def test_verify_and_inspect_report_on_a_record(silent: Callable[[], bool]) -> None:
    nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml", output_dir=RESULTS)
    (report,) = nvs_eval.verify(RESULTS)
    assert report.complete
    assert not report.refuted
    (file,) = RESULTS.rglob("*.json")
    (inspection,) = nvs_eval.inspect(file)
    assert silent()
    assert inspection.title


# --- Wrong arguments ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        ("score", {"colour_correct": "linear"}, r"^Unknown colour_correct 'linear'\..* Known: affine, quadratic\.$"),
        ("score", {"precision": "quick"}, r"^Unknown precision 'quick'\..* Known: exact, fast\.$"),
        ("run", {"precision": 16}, "^precision must be 'exact', 'fast' or None. Got 16."),
        ("score", {"exr": "foo"}, "^Unknown exr 'foo'"),
        ("score", {"device": 3.5}, "^device must be a string. Got 3.5."),
        ("score", {"renders": 7}, "^renders must be a path or a list of paths. Got 7."),
        ("score", {"grey_to_rgb": "no"}, "^grey_to_rgb must be True or False. Got 'no'."),
        ("score", {"background": (255, 255, 255)}, r"^The background .*\[0, 1\].*\(255, 255, 255\)"),
        ("score", {"background": (2.0, 0, 0)}, r"^The background .*\[0, 1\].*\(2.0, 0, 0\)"),
        ("score", {"background": (1, 1)}, r"^background must be a string, 3 numbers or None. Got \[1, 1\]"),
        ("score", {"background": math.nan}, "^background must be a string, 3 numbers or None. Got nan"),
        ("score", {"background": (0, math.nan, 0)}, r"^The background .*\(0, nan, 0\)"),
        ("run", {"keep_renders": "pgn"}, "^Unknown keep_renders 'pgn'. Did you mean 'png'"),
        ("run", {"split": "dev"}, "^Unknown split 'dev'.* Known: test, train, val"),
        ("run", {"steps": "first"}, "^Unknown steps 'first'"),
        ("run", {"steps": 2500}, "^steps must be 'last', 'all' or a list of whole numbers. Got 2500."),
        ("run", {"steps": [1.5]}, r"^steps\[0\] must be a whole number. Got 1.5."),
        ("run", {"every": True}, "^every must be a whole number. Got True."),
        ("table", {"mean": "scene"}, r"^Unknown mean 'scene'. Did you mean 'scenes'\? Known: scenes, views"),
        ("table", {"rows": "methods"}, "^Unknown rows 'methods'. Did you mean 'method'"),
        ("table", {"columns": "metrics"}, "^Unknown columns 'metrics'. Did you mean 'metric'"),
        ("table", {"mark": "bolt"}, "^Unknown mark 'bolt'. Did you mean 'bold'"),
        ("table", {"runs": "mena"}, "^Unknown runs 'mena'. Did you mean 'mean'"),
        ("table", {"runs": None}, "^runs must be 'each' or 'mean'. Got None."),
        ("table", {"decimals": {"psnr": -1}}, "decimals.* psnr.* -1\\b|psnr.*decimals.* -1\\b"),
        ("table", {"decimals": {"psnr": 2.5}}, "^decimals.psnr must be a whole number. Got 2.5."),
        ("table", {"decimals": {"psnr": "2"}}, "^decimals.psnr must be a whole number. Got '2'."),
        ("table", {"decimals": {"psrn": 2}}, "^Unknown metric .*'psrn'. Did you mean 'psnr'"),
        ("table", {"decimals": 3}, "^decimals must be a mapping or None. Got 3."),
        ("data_frame", {"shape": "broad"}, r"^Unknown shape 'broad'\. .*Known: long, wide\."),
        ("compare", {"runs": "mena"}, "^Unknown runs 'mena'"),
        ("compare", {"resamples": "many"}, "^resamples must be a whole number. Got 'many'."),
    ],
)
def test_argument_that_no_command_accepts_is_refused(function: str, options: dict[str, Any], message: str) -> None:
    positional = {"score": "renders", "run": "load_config"}.get(function)
    argument = options.pop(positional, "garden/ours") if positional else [record()]
    required = {"reference": "garden/gt", "protocol": "light.yaml"} if function == "score" else {}
    with pytest.raises(InputError, match=message):
        getattr(nvs_eval, function)(argument, **required, **options)


LIST = r"must be a list of records.*read_records.* Got "


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("compare", [record(), record()], ("sides", r"Record\(scene='fox'")),
        ("compare", ["garden"], ("sides", r"'garden'")),
        ("compare", [["garden"]], ("sides", r"\['garden'\]")),
        ("table", [record()], ("records", r"Record\(scene='fox'")),
        ("table", ["garden"], ("records", r"'garden'")),
        ("data_frame", [record()], ("records", r"Record\(scene='fox'")),
        ("data_frame", [None], ("records", r"None")),
    ],
)
def test_value_other_than_a_list_of_records_is_refused(
    function: str, arguments: list[Any], message: tuple[str, str]
) -> None:
    name, shown = message
    with pytest.raises(InputError, match=f"^{name} {LIST}{shown}"):
        getattr(nvs_eval, function)(*arguments)


def test_data_frame_of_duplicate_records_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"^records\[0\] and records\[1\] .*fox"):
        nvs_eval.data_frame([record(), record()])


def test_read_records_takes_paths_and_lists_of_paths() -> None:
    files = [record_file(one, Path("out")) for one in (side("a", 0.0), side("b", 1.0), side("c", 2.0))]
    for file, name in zip(files, "abc", strict=True):
        write_record(file, side(name, 0.0))
    read = nvs_eval.read_records(files[:2], str(files[2]))
    assert [one.method for one in read] == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"^names .*Got 3\."):
        nvs_eval.read_records(3)  # pyright: ignore[reportArgumentType]


def test_any_sequence_and_numpy_numbers_are_accepted() -> None:
    numbers: dict[str, Any] = {"background": np.ones(3), "max_memory": np.int64(10**9)}
    (scored,) = nvs_eval.score(("garden/ours",), reference="garden/gt", protocol=("light.yaml",), **numbers)
    assert scored.method == "ours"
    digits: Any = np.int64(3)
    assert " 3.000\n" in nvs_eval.table((record([row(psnr=3.0)]),), decimals={"psnr": digits}, metrics=("psnr",))


# --- Types ----------------------------------------------------------------------------------------------------------

TYPED = """\
import nvs_eval

records = nvs_eval.score("renders", reference="images", protocol=["standard", "inria-3dgs"])
records += nvs_eval.run("config.yml", steps="all", output_dir="results")
reveal_type(records)
reveal_type(nvs_eval.read_records("results"))
reveal_type(nvs_eval.table(records, format="latex", rows="method"))
reveal_type(nvs_eval.compare(records, runs="mean"))
"""
WRONG = """\
import nvs_eval

nvs_eval.score("renders", "images")
nvs_eval.run("config.yml", steps=2500)
nvs_eval.table(nvs_eval.read_records("results"), rows="methods")
nvs_eval.data_frame([], shape="broad")
"""


def pyright(file: Path) -> list[str]:
    """Return the messages of the type checker on a file, one per line."""
    pytest.importorskip("pyright")
    root = Path(nvs_eval.__file__).parents[1]
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip().startswith(f"{file}:")]


def test_functions_have_types(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)
    messages = pyright(tmp_path / "typed.py")
    assert [line.rpartition(' is "')[2].rstrip('"') for line in messages] == [
        "list[Record]",
        "list[Record]",
        "str",
        "list[Comparison]",
    ]


def test_type_checker_reports_wrong_calls(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    errors = [line for line in pyright(tmp_path / "wrong.py") if " error: " in line]
    lines = {line.removeprefix(f"{tmp_path / 'wrong.py'}:").partition(":")[0] for line in errors}
    assert lines == {"3", "4", "5", "6"}
