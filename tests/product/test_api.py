"""The functions do what the commands do, give the same records, and print nothing."""

from __future__ import annotations

import inspect
import json
import math
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
from support.records import record, row
from support.scenes import files_below

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import RESULTS, AuditOptions, RescoreOptions, RunOptions, ScoreOptions, SuiteOptions
from nvs_eval.records.record import Record, record_file, to_plain, write_record
from nvs_eval.report.tables.options import TableOptions

pytestmark = pytest.mark.usefixtures("here")

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")


def results(records: Sequence[Record]) -> list[dict[str, Any]]:
    """All that records say, but for when and by which command they were made."""
    plain = json.loads(json.dumps([to_plain(each) for each in records]))
    for each in plain:
        for name in ("command", "started", "seconds"):
            del each["provenance"][name]
    return sorted(plain, key=lambda each: str((each["scene"], each["method"], each["step"])))


@pytest.fixture
def silent(capsys: pytest.CaptureFixture[str]) -> Callable[[], bool]:
    """Says whether nothing was printed since it was made or asked last."""
    capsys.readouterr()
    return lambda: capsys.readouterr() == ("", "")


# --- Scoring --------------------------------------------------------------------------------------------------------


def test_score_gives_the_records_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    found = nvs_eval.score(["garden/ours", "garden/theirs"], reference="garden/gt", protocol="light.yaml")
    assert silent()
    assert not RESULTS.exists()
    assert cli(*SCORE).code == 0
    assert results(found) == results(nvs_eval.read_records(RESULTS))
    assert [each.method for each in found] == ["ours", "theirs"]
    assert found[0].provenance["command"] == ["nvs_eval.score"]


def test_score_writes_where_it_is_told_to(silent: Callable[[], bool]) -> None:
    one = Path("garden/ours")
    found = nvs_eval.score(one, reference=Path("garden/gt"), protocol=["light.yaml"], output_dir="out", method="mine")
    assert silent()
    (file,) = Path("out").rglob("*.json")
    assert file.parts[:3] == ("out", "garden", "mine")
    assert [to_plain(each) for each in nvs_eval.read_records("out")] == [to_plain(each) for each in found]
    assert (file.parent / str(found[0].views[0].render)).is_file()


def test_unwritten_record_has_the_paths_of_its_place() -> None:
    (found,) = nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml")
    folder = RESULTS / "garden" / "ours" / "final"
    folder.mkdir(parents=True)
    assert (folder / str(found.views[0].render)).resolve() == Path("garden/ours/0001.png").resolve()


def test_options_of_score_are_those_of_the_command(cli: Callable[..., Said]) -> None:
    Path("garden/ours/0002.png").unlink()
    chosen = nvs_eval.score(
        "garden/ours", reference="garden/gt", protocol="light.yaml", scene="s", method="m", colour_correct="affine",
        allow_missing=True, background=(1.0, 1.0, 1.0), masks="garden/gt", device="cpu",
    )  # fmt: skip
    options = ("--scene", "s", "--method", "m", "--colour-correct", "affine", "--allow-missing", "--device", "cpu")
    said = cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml", *options,
               "--background", "white", "--masks", "garden/gt")  # fmt: skip
    assert said.code == 0
    assert results(chosen) == results(nvs_eval.read_records(RESULTS))
    assert chosen[0].views[0].coverage is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"renders": "nowhere"}, "nowhere does not exist"),
        ({"renders": []}, "No folder of renders was given"),
        ({"protocol": "lihgt"}, "Unknown protocol 'lihgt'"),
        ({"protocol": ()}, "No protocol was named"),
        ({"background": "pink"}, "The background is 'pink'"),
        ({"device": "abacus"}, "The device 'abacus' cannot be used here"),
        ({"masks": "garden/gt", "data_masks": True}, "give one of the two"),
        ({"method": ["a", "b"]}, "2 methods for 1 folder of renders"),
    ],
)
def test_wrong_input_is_an_input_error(options: dict[str, Any], message: str, silent: Callable[[], bool]) -> None:
    given = {"renders": "garden/ours", "reference": "garden/gt", "protocol": "light.yaml", **options}
    with pytest.raises(nvs_eval.InputError, match=message):
        nvs_eval.score(given.pop("renders"), **given)
    assert silent()


def test_masks_that_came_and_are_not_used_are_not_talked_of(silent: Callable[[], bool]) -> None:
    for name in ("color", "gt-color", "mask"):
        shutil.copytree("garden/gt", Path("predictions", name))
    found = nvs_eval.score("predictions", reference="garden/gt", protocol="light.yaml")
    assert silent()
    assert len(found) == 1


# --- Rendering ------------------------------------------------------------------------------------------------------


def test_run_gives_the_records_of_the_command(
    cli: Callable[..., Said], opener: Opener, silent: Callable[[], bool]
) -> None:
    options = {"views": ["a"], "every": 2, "split": "test", "eval_num_rays_per_chunk": 7, "data": "elsewhere"}
    found = nvs_eval.run("config.yml", steps="all", protocol="light.yaml", **options)  # pyright: ignore
    assert silent()
    assert [each.step for each in found] == [500, 2500]
    mine = files_below(RESULTS)
    assert any(name.endswith("500/renders/a.png") for name in mine)
    shutil.rmtree(RESULTS)
    said = cli("run", "--load-config", "config.yml", "--steps", "all", "--protocol", "light.yaml", "--views", "a",
               "--every", "2", "--eval-num-rays-per-chunk", "7", "--data", "elsewhere")  # fmt: skip
    assert said.code == 0
    assert results(found) == results(nvs_eval.read_records(RESULTS))
    assert files_below(RESULTS) == mine
    asked = [{name: list(v) if isinstance(v, tuple) else v for name, v in each.items()} for each in opener.asked]
    assert all(callable(each.pop("warn")) for each in asked)
    assert asked[0] == asked[1]


def test_run_takes_steps_and_goes_on_where_it_was(opener: Opener, silent: Callable[[], bool]) -> None:
    del opener.given[1:]
    first = nvs_eval.run([Path("config.yml")], steps=[500], protocol="light.yaml", output_dir="out", method="mine")
    rendered = len(opener.rendered)
    again = nvs_eval.run("config.yml", steps=[500], protocol="light.yaml", output_dir="out", method="mine")
    assert silent()
    assert opener.asked[0]["steps"] == [500]
    assert len(opener.rendered) == rendered
    assert [to_plain(each) for each in again] == [to_plain(each) for each in first]
    assert files_below(Path("out")) != []
    assert not RESULTS.exists()


def test_run_without_a_config_is_an_input_error() -> None:
    with pytest.raises(nvs_eval.InputError, match="No run was given"):
        nvs_eval.run([])


# --- Tables ---------------------------------------------------------------------------------------------------------


def test_a_table_is_that_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    found = nvs_eval.score(["garden/ours", "garden/theirs"], reference="garden/gt", protocol="light.yaml",
                           output_dir=RESULTS)  # fmt: skip
    tables = [
        nvs_eval.table(found),
        nvs_eval.table(found, rows="method", metrics=["ssim", "psnr"], sort="ssim", decimals={"psnr": 1}),
        nvs_eval.table(found, per_scene=True, per_view=True, metrics="ssim"),
    ]
    assert silent()
    assert tables[0] == cli("table", str(RESULTS)).out
    options = ("--rows", "method", "--metrics", "ssim", "psnr", "--sort", "ssim", "--decimals", "psnr=1")
    assert tables[1] == cli("table", str(RESULTS), *options).out
    assert tables[2] == cli("table", str(RESULTS), "--per-scene", "--per-view", "--metrics", "ssim").out


@pytest.mark.parametrize(
    ("records", "options", "message"),
    [
        ([], {}, "There are no records"),
        ([record()], {"format": "word"}, "Unknown format 'word'"),
        ([record()], {"per_scene": True, "rows": "scene"}, "leave those out"),
        ([record(), record()], {}, r"records\[0\] and records\[1\] are records of the same"),
        ([record(), record([row("other")], method="b")], {}, "different views"),
        ([record()], {"metrics": ["psrn"]}, "psrn"),
    ],
)
def test_what_is_no_table_is_an_input_error(records: list[Record], options: dict[str, Any], message: str) -> None:
    with pytest.raises(nvs_eval.InputError, match=message):
        nvs_eval.table(records, **options)


def test_mixed_records_are_a_table_where_that_is_asked_for() -> None:
    mixed = [record(), replace(record([row("other")]), method="b")]
    assert "different views" in nvs_eval.table(mixed, allow_mixed=True)


# --- compare --------------------------------------------------------------------------------------------------------


def side(method: str, gain: float, **changes: Any) -> Record:
    return record([row(f"{i:04}", psnr=20.0 + gain * (1 + 0.1 * i)) for i in range(8)], method=method, **changes)


def test_a_comparison_is_that_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    records = [side("a", 0.0), side("b", 0.3)]
    for each in records:
        write_record(record_file(each, Path("out")), each)
    (comparison,) = nvs_eval.compare(*([each] for each in records))
    assert silent()
    (pair,) = comparison.pairs
    assert pair.words[0].startswith("b is better than a in PSNR by 0.405 dB [")
    assert pair.differences["psnr"].verdict == "better"
    assert cli("compare", "out").out.startswith(pair.words[0])
    assert nvs_eval.compare(records)[0].pairs[0].words == pair.words


def test_what_is_no_comparison_is_an_input_error() -> None:
    with pytest.raises(InputError, match="There are no two sides of one protocol: side 1 has a under standard"):
        nvs_eval.compare([side("a", 0.0)])
    with pytest.raises(InputError, match=r"side 1\[0\]"):
        nvs_eval.compare([side("a", 0.0), side("a", 1.0)], [side("b", 1.0)])
    with pytest.raises(InputError, match="Nothing to compare was given"):
        nvs_eval.compare()


# --- The other commands ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "kind", "others"),
    [
        (nvs_eval.score, ScoreOptions, {"output_dir"}),
        (nvs_eval.run, RunOptions, set()),
        (nvs_eval.audit, AuditOptions, {"output_dir"}),
        (nvs_eval.rescore, RescoreOptions, set()),
        (nvs_eval.suite, SuiteOptions, set()),
        (nvs_eval.table, TableOptions, {"decimals"}),
    ],
)
def test_a_function_has_each_option_of_its_command(function: Any, kind: type, others: set[str]) -> None:
    parameters = dict(inspect.signature(function).parameters)
    options = {field.name: field for field in fields(kind)}
    own = {"records", "format", "per_view", "mark", "label"} if kind is TableOptions else set()
    assert set(parameters) == {*options, *own}
    for name, parameter in parameters.items():
        if name in own:
            continue
        default = options[name].default
        if name in others or default is MISSING or parameter.default is inspect.Parameter.empty:
            continue
        given: Any = parameter.default
        if isinstance(default, tuple) and default:
            given = (given,)
        assert (Path(given) if isinstance(default, Path) else given) == default, name
    assert all(f"    {name}: " in (function.__doc__ or "") for name in parameters)


def test_audit_gives_the_records_of_each_result(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    options = {"reference": "garden/gt", "protocol": "light.yaml", "output_dir": "mine"}
    by_result = nvs_eval.audit(["garden/ours", "garden/theirs"], **options)  # pyright: ignore
    assert silent()
    assert [[record.method for record in records] for records in by_result] == [["ours"], ["theirs"]]
    assert cli("audit", *SCORE[1:]).code == 0
    found = [record for records in by_result for record in records]
    assert results(found) == results(nvs_eval.read_records(RESULTS))


def test_rescore_gives_the_records_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    assert cli(*SCORE).code == 0
    again = nvs_eval.rescore(RESULTS, protocol="light.yaml", output_dir="again")
    assert silent()
    scores = [[row.scores for row in record.views] for record in nvs_eval.read_records(RESULTS)]
    assert [[row.scores for row in record.views] for record in nvs_eval.read_records("again")] == scores
    assert [record.id.label for record in again] == ["garden/ours", "garden/theirs"]


def test_suite_gives_records_and_what_is_not_done(silent: Callable[[], bool]) -> None:
    methods = {"ours": {"score": "{scene}/ours"}, "none": {"score": "{scene}/nowhere"}}
    plain = {"scenes": ["garden"], "protocol": "light.yaml", "reference": "{scene}/gt", "methods": methods}
    Path("suite.yaml").write_text(json.dumps(plain))
    result = nvs_eval.suite("suite.yaml")
    assert silent()
    assert [record.id.label for record in result.records] == ["garden/ours"]
    assert result.not_done[0] == "1 of 2"
    assert "none: nothing at {scene}/nowhere for garden" in result.not_done[1]


def test_check_and_curve_say_what_their_commands_do(silent: Callable[[], bool]) -> None:
    better, worse = [side("a", 0.3)], [side("a", 0.0)]
    assert nvs_eval.check(better, worse).passed
    assert not nvs_eval.check(worse, better, tolerance={"psnr": 0.01}).passed
    with pytest.raises(InputError, match="psnr"):
        nvs_eval.check(worse, better, tolerance={"psnr": math.nan})
    with pytest.raises(InputError, match=r"^baseline must hold at least one record\. Got none\.$"):
        nvs_eval.check(worse, [])
    with pytest.raises(InputError, match=r"^new must hold at least one record\. Got none\.$"):
        nvs_eval.check([], worse)
    with pytest.raises(InputError, match=r"^records must hold at least one record\. Got none\.$"):
        nvs_eval.curve([])
    with pytest.raises(InputError, match=r"new\[0\] and new\[1\] are records of the same"):
        nvs_eval.check([*better, *worse], worse)
    (curves,) = nvs_eval.curve([side("a", 0.1 * step, step=step) for step in (1, 2, 3)])
    assert curves.scene == "fox"
    assert silent()


def test_functions_take_only_records_of_a_protocol(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    standard = [side("a", 0.1 * step, step=step) for step in (1, 2)] + [side("b", 0.3)]
    other = {"name": "other", "definition": {"round_means": None}, "fingerprint": "01234567"}
    mixed = [*standard, *(replace(each, protocol=other) for each in standard)]
    assert nvs_eval.table(mixed, protocol="standard") == nvs_eval.table(standard)
    assert [each.protocol for each in nvs_eval.compare(mixed, protocol="other")] == ["other"]
    checks = nvs_eval.check(mixed, mixed, protocol=["01234567"]).checks
    assert {check.protocol for check in checks} == {"other"}
    assert [curves.protocol for curves in nvs_eval.curve(mixed, protocol="other")] == ["other"]
    for each in mixed:
        write_record(record_file(each, Path("out")), each)
    assert len(nvs_eval.read_records("out")) == 2 * len(nvs_eval.read_records("out", protocol="other")) == 6
    assert silent()
    for function in (nvs_eval.table, nvs_eval.compare, nvs_eval.curve):
        with pytest.raises(InputError, match=r"^Unknown protocol of the records 'othr'. Did you mean 'other'"):
            function(mixed, protocol="othr")
    with pytest.raises(InputError, match=r"^Unknown protocol of the records 'othr'"):
        nvs_eval.check(mixed, mixed, protocol="othr")
    with pytest.raises(InputError, match=r"^Unknown protocol of the records 'othr'"):
        nvs_eval.read_records("out", protocol="othr")


def test_export_gives_the_files_of_the_command(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    one = record([row(psnr=20.0)])
    file = write_record(record_file(one, Path("out")), one) or record_file(one, Path("out"))
    exported = nvs_eval.export(one, "ns-eval")
    assert silent()
    assert cli("export", str(file), "--as", "ns-eval", "--output", "theirs").code == 0
    assert {path.name: json.loads(path.read_text()) for path in Path("theirs").iterdir()} == exported.files
    with pytest.raises(InputError, match=r"^Unknown form 'nseval'. Did you mean 'ns-eval'"):
        nvs_eval.export(one, "nseval")  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        InputError, match=r"^record must be a record, such as score gave or read_record gives\. Got 'out'"
    ):
        nvs_eval.export("out", "ns-eval")  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="lpips_vgg"):
        nvs_eval.export(one, "inria")


def test_what_is_installed_is_what_the_commands_show(cli: Callable[..., Said], silent: Callable[[], bool]) -> None:
    words, sources = nvs_eval.protocol_words("inria-3dgs"), nvs_eval.published()
    (one,) = nvs_eval.published(sources[0].name)
    found = nvs_eval.weights()
    assert silent()
    assert f"{words}\n" == cli("protocols", "inria-3dgs").out
    assert max(map(len, nvs_eval.protocol_words("inria-3dgs", width=60).splitlines()[:3])) <= 60
    assert one == sources[0]
    listed = cli("published").out
    assert all(source.name in listed for source in sources)
    assert [each.net for each in found] == ["alex", "vgg", "squeeze"]
    shown = cli("weights").out
    assert all(str(each.path or "-") in shown for each in found)


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        ("protocol_words", {"protocol": "standart"}, "^Unknown protocol 'standart'. Did you mean 'standard'"),
        ("weights", {"weights_dir": "gone"}, "^The weights folder gone"),
        ("install_weights", {"files": "gone.pth"}, "^There is no file gone.pth to install weights from"),
        ("verify_installation", {"device": "tpu"}, "tpu"),
    ],
)
def test_what_is_not_installed_is_an_input_error(function: str, given: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        getattr(nvs_eval, function)(**given)


def test_the_installation_is_verified_on_the_device_named(monkeypatch: pytest.MonkeyPatch) -> None:
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


# --- What a command would not take ----------------------------------------------------------------------------------


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
        ("score", {"background": (255, 255, 255)}, r"^The background is \(255, 255, 255\), and .* each in \[0, 1\]"),
        ("score", {"background": (2.0, 0, 0)}, r"^The background is \(2.0, 0, 0\), and .* each in \[0, 1\]"),
        ("score", {"background": (1, 1)}, r"^background must be a string, 3 numbers or None. Got \[1, 1\]"),
        ("score", {"background": math.nan}, "^background must be a string, 3 numbers or None. Got nan"),
        ("score", {"background": (0, math.nan, 0)}, r"^The background is \(0, nan, 0\)"),
        ("run", {"keep_renders": "pgn"}, "^Unknown keep_renders 'pgn'. Did you mean 'png'"),
        ("run", {"split": "val"}, "^Unknown split 'val'.* Known: test, train"),
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
        ("table", {"decimals": {"psnr": -1}}, "^--decimals of psnr is -1, and a whole number from 0 to 15 is needed"),
        ("table", {"decimals": {"psnr": 2.5}}, "^decimals.psnr must be a whole number. Got 2.5."),
        ("table", {"decimals": {"psnr": "2"}}, "^decimals.psnr must be a whole number. Got '2'."),
        ("table", {"decimals": {"psrn": 2}}, "^Unknown metric of --decimals 'psrn'. Did you mean 'psnr'"),
        ("table", {"decimals": 3}, "^decimals must be a mapping or None. Got 3."),
        ("data_frame", {"shape": "broad"}, r"^Unknown shape 'broad'\. .*Known: long, wide\."),
        ("compare", {"runs": "mena"}, "^Unknown runs 'mena'"),
        ("compare", {"resamples": "many"}, "^resamples must be a whole number. Got 'many'."),
    ],
)
def test_option_that_no_command_would_take_is_refused(function: str, options: dict[str, Any], message: str) -> None:
    positional = {"score": "renders", "run": "load_config"}.get(function)
    given = options.pop(positional, "garden/ours") if positional else [record()]
    needed = {"reference": "garden/gt", "protocol": "light.yaml"} if function == "score" else {}
    with pytest.raises(InputError, match=message):
        getattr(nvs_eval, function)(given, **needed, **options)


LIST = r"must be a list of records: what .*read_records gave, in \[brackets\] if one\. Got "


@pytest.mark.parametrize(
    ("function", "given", "message"),
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
def test_other_value_than_a_list_of_records_is_refused(
    function: str, given: list[Any], message: tuple[str, str]
) -> None:
    name, shown = message
    with pytest.raises(InputError, match=f"^{name} {LIST}{shown}"):
        getattr(nvs_eval, function)(*given)


def test_a_frame_of_records_given_twice_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"^records\[0\] and records\[1\] are records of the same: fox"):
        nvs_eval.data_frame([record(), record()])


def test_records_are_read_of_names_and_of_lists_of_them() -> None:
    files = [record_file(each, Path("out")) for each in (side("a", 0.0), side("b", 1.0), side("c", 2.0))]
    for file, name in zip(files, "abc", strict=True):
        write_record(file, side(name, 0.0))
    found = nvs_eval.read_records(files[:2], str(files[2]))
    assert [each.method for each in found] == ["a", "b", "c"]
    with pytest.raises(InputError, match=r"^names must be a path or a list of paths\. Got 3\."):
        nvs_eval.read_records(3)  # pyright: ignore[reportArgumentType]


def test_lists_may_be_of_any_kind_and_numbers_those_of_numpy() -> None:
    numbers: dict[str, Any] = {"background": np.ones(3), "max_memory": np.int64(10**9)}
    (found,) = nvs_eval.score(("garden/ours",), reference="garden/gt", protocol=("light.yaml",), **numbers)
    assert found.method == "ours"
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
    """What the type checker says of a file, a line each."""
    pytest.importorskip("pyright")
    root = Path(nvs_eval.__file__).parents[1]
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    return [line.strip() for line in done.stdout.splitlines() if line.strip().startswith(f"{file}:")]


def test_the_functions_are_typed(tmp_path: Path) -> None:
    (tmp_path / "typed.py").write_text(TYPED)
    said = pyright(tmp_path / "typed.py")
    assert [line.rpartition(' is "')[2].rstrip('"') for line in said] == [
        "list[Record]",
        "list[Record]",
        "str",
        "list[Comparison]",
    ]


def test_wrong_calls_are_seen_by_a_type_checker(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    said = pyright(tmp_path / "wrong.py")
    lines = {line.removeprefix(f"{tmp_path / 'wrong.py'}:").partition(":")[0] for line in said if " error: " in line}
    assert lines == {"3", "4", "5", "6"}
