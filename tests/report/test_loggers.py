"""Logged scores are read back with the tools' readers, and failing tools do not harm records."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.checkpoints import Opener
from support.commands import Said
from support.pinned import Pinned
from support.records import INFO, record, row
from support.scenes import files_below

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record, read_record, record_file, write_record
from nvs_eval.report.loggers import log_runs, open_sinks
from nvs_eval.report.loggers.runs import LoggedRecord, runs_of

SCORE = ("score", "garden/ours", "garden/theirs", "--reference", "garden/gt", "--protocol", "light.yaml")
EVENTS = "events.out.tfevents"


def write_all(folder: Path, *records: Record) -> None:
    for each in records:
        write_record(record_file(each, folder), each)


def of_step(step: int | None, psnr: float, **changes: Any) -> Record:
    return record([row("a", psnr=psnr, ssim=0.75), row("b", psnr=psnr + 1 / 3, ssim=0.25)], step=step, **changes)


def other_protocol(name: str, fingerprint: str) -> dict[str, Any]:
    return {"name": name, "definition": {"round_means": None}, "fingerprint": fingerprint}


# --- TensorBoard ----------------------------------------------------------------------------------------------------


@pytest.fixture
def scalars() -> Callable[[Path], dict[str, list[tuple[int, float]]]]:
    """Return the scalars in a run's folder, read by TensorBoard: steps and values by tag."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        events = accumulator.EventAccumulator(str(folder))
        events.Reload()
        return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}

    return read


@pytest.fixture
def notes() -> Callable[[Path], dict[str, str]]:
    """Return the texts in a run's folder, read by TensorBoard, by tag."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(folder: Path) -> dict[str, str]:
        events = accumulator.EventAccumulator(str(folder))
        events.Reload()
        return {
            tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode()
            for tag in events.summary_metadata
            if events.summary_metadata[tag].plugin_data.plugin_name == "text"
        }

    return read


def test_tensorboard_has_the_means_at_the_steps_in_float32(
    tmp_path: Path, cli: Callable[..., Said], scalars: Callable[[Path], dict[str, list[tuple[int, float]]]]
) -> None:
    inria = other_protocol("inria-3dgs", "82a74b27")
    early, late, other = of_step(500, 21.1), of_step(10000, 25.3), of_step(500, 22.7, protocol=inria)
    write_all(tmp_path, late, early, other)
    result = cli("table", str(tmp_path), "--log", "tensorboard")
    assert result.code == 0
    assert result.err == f"TensorBoard: tensorboard --logdir {tmp_path / 'tensorboard'}\n"
    found = scalars(tmp_path / "tensorboard" / "fox" / "nerfacto")
    assert found == {
        f"{name}/{metric}": [(each.step, float(np.float32(each.means[metric]))) for each in records]
        for name, records in {"standard": (early, late), "inria-3dgs": (other,)}.items()
        for metric in ("psnr", "ssim")
    }
    assert result.out == cli("table", str(tmp_path)).out


def test_tensorboard_has_the_protocol_as_text(
    tmp_path: Path, cli: Callable[..., Said], notes: Callable[[Path], dict[str, str]]
) -> None:
    write_all(tmp_path, of_step(500, 21.1))
    assert cli("table", str(tmp_path), "--log", "tensorboard").code == 0
    (text,) = [notes(tmp_path / "tensorboard" / "fox" / "nerfacto")["standard/protocol"]]
    assert [line.strip() for line in text.splitlines()] == [
        "protocol standard (9f2c51ab), 2 views",
        INFO["psnr"].signature,
        INFO["ssim"].signature,
    ]


def test_logging_to_tensorboard_again_replaces_the_file(
    tmp_path: Path, cli: Callable[..., Said], scalars: Callable[[Path], dict[str, list[tuple[int, float]]]]
) -> None:
    run = tmp_path / "tensorboard" / "fox" / "nerfacto"
    write_all(tmp_path, of_step(500, 21.0), of_step(2500, 25.0))
    for _ in range(2):
        assert cli("table", str(tmp_path), "--log", "tensorboard").code == 0
    files = {path.name: path.read_bytes() for path in run.iterdir()}
    assert sorted(files) == [f"{EVENTS}.0000000500.standard", f"{EVENTS}.0000002500.standard"]
    write_all(tmp_path, of_step(500, 22.0))
    assert cli("table", str(tmp_path), "--log", "tensorboard").code == 0
    assert {path.name for path in run.iterdir()} == set(files)
    assert (run / f"{EVENTS}.0000002500.standard").read_bytes() == files[f"{EVENTS}.0000002500.standard"]
    assert [step for step, _ in scalars(run)["standard/psnr"]] == [500, 2500]
    assert scalars(run)["standard/psnr"][0][1] == pytest.approx(22 + 1 / 6, rel=1e-6)


def test_a_complete_record_takes_the_place_of_the_incomplete_one(tmp_path: Path, cli: Callable[..., Said]) -> None:
    complete = of_step(500, 21.0)
    incomplete = of_step(500, 20.0, provenance={**complete.provenance, "failed": {"c": "damaged"}})
    for name, each in (("standard-incomplete", incomplete), ("standard", complete)):
        path = record_file(each, tmp_path / "out")
        write_record(path, each)
        assert cli("table", str(tmp_path / "out"), "--log", "tensorboard", "--log-dir", str(tmp_path / "log")).code == 0
        assert files_below(tmp_path / "log") == [f"fox/nerfacto/{EVENTS}.0000000500.{name}"]
        path.unlink()


def test_each_run_has_a_folder_and_records_without_a_step_are_at_0(
    tmp_path: Path, cli: Callable[..., Said], scalars: Callable[[Path], dict[str, list[tuple[int, float]]]]
) -> None:
    write_all(tmp_path / "in", of_step(None, math.inf), of_step(7, 21.0, run="base", scene="../b", split="train"))
    assert cli("table", str(tmp_path / "in"), "--log", "tensorboard", "--log-dir", str(tmp_path / "out")).code == 0
    assert files_below(tmp_path / "out") == [
        f"_._b/nerfacto/base/{EVENTS}.0000000007.standard-train",
        f"fox/nerfacto/{EVENTS}.0000000000.standard",
    ]
    assert scalars(tmp_path / "out" / "fox" / "nerfacto")["standard/psnr"] == [(0, math.inf)]
    assert set(scalars(tmp_path / "out" / "_._b" / "nerfacto" / "base")) == {
        "standard-train/psnr",
        "standard-train/ssim",
    }


@pytest.mark.usefixtures("here")
def test_score_and_table_log_the_same_records(
    cli: Callable[..., Said], scalars: Callable[[Path], dict[str, list[tuple[int, float]]]]
) -> None:
    result = cli(*SCORE, "--log", "tensorboard")
    assert result.code == 0
    assert result.out == cli(*SCORE).out
    logged = Path("nvs-eval-results/tensorboard")
    (file,) = Path("nvs-eval-results/garden/ours/final").glob("light-*.json")
    assert scalars(logged / "garden" / "ours")["light/ssim"] == [
        (0, float(np.float32(read_record(file).means["ssim"])))
    ]
    before = {name: (logged / name).read_bytes() for name in files_below(logged)}
    assert set(before) == {f"garden/{method}/{EVENTS}.0000000000.light" for method in ("ours", "theirs")}
    for name in before:
        (logged / name).unlink()
    assert cli("table", "nvs-eval-results", "--log", "tensorboard").code == 0
    after = {name: (logged / name).read_bytes() for name in files_below(logged)}
    assert after.keys() == before.keys()


@pytest.mark.usefixtures("here")
def test_runs_audits_and_new_scores_are_logged(
    cli: Callable[..., Said],
    opener: Opener,
    here: Path,
    scalars: Callable[[Path], dict[str, list[tuple[int, float]]]],
) -> None:
    from support.protocols import FLOAT, HALF, protocol_file

    protocol_file(here, FLOAT, "float.yaml")
    protocol_file(here, HALF, "half.yaml")
    options = ("--load-config", "config.yml", "--steps", "all", "--keep-renders", "all", "--log", "tensorboard")
    run = Path("nvs-eval-results/tensorboard/fox/fake/base")
    assert cli("run", *options, "--protocol", "light.yaml").code == 0
    assert [step for step, _ in scalars(run)["light/psnr"]] == [500, 2500]
    assert cli("audit", *options, "--protocol", "float.yaml").code == 0
    assert [step for step, _ in scalars(run)["float/psnr"]] == [500, 2500]
    assert cli("rescore", "nvs-eval-results", "--protocol", "half.yaml", "--log", "tensorboard").code == 0
    assert [step for step, _ in scalars(run)["half/psnr"]] == [500, 2500]
    assert len(opener.asked) == 2


# --- Errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "tensorboard.summary.writer.record_writer"), ("wandb", "wandb")]
)
@pytest.mark.usefixtures("here")
def test_a_missing_package_is_an_error_before_any_work(
    name: str, module: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    message = refused(*SCORE, "--log", name)
    assert message.startswith(f"--log {name} needs the package {name}. It cannot be imported (")
    assert message.endswith(f"`pip install 'nvs-eval[{name}]'`, or omit `--log {name}`.")


@pytest.mark.usefixtures("here")
def test_a_sink_that_fails_harms_no_record_and_no_other_sink(
    cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.report.loggers import tensorboard, wandb

    def fail(runs: object) -> list[str]:
        raise RuntimeError("the network\n is away ")

    logged = []
    monkeypatch.setattr(tensorboard, "open_sink", lambda: fail)
    monkeypatch.setattr(wandb, "open_sink", lambda: lambda runs: logged.extend(runs) or ["It is there."])
    result = cli(*SCORE, "--log", "tensorboard", "wandb")
    assert result.code == 2
    assert result.out == cli(*SCORE).out
    assert "Traceback" not in result.err
    assert result.err.endswith(
        "It is there.\n"
        "Error: The records are written, but could not be logged to tensorboard: the network is away. "
        "Log them again with: nvs-eval table RECORDS --log tensorboard wandb\n"
    )
    assert [run[0].run.label for run in logged] == ["garden/ours", "garden/theirs"]
    assert len(list(Path("nvs-eval-results").rglob("*.json"))) == 2


def test_two_records_of_one_point_are_an_error(tmp_path: Path, cli: Callable[..., Said], pinned: Pinned) -> None:
    pytest.importorskip("tensorboard")
    write_all(tmp_path, of_step(5, 21.0), of_step(5, 22.0, protocol=other_protocol("standard", "11111111")))
    result = cli("table", str(tmp_path), "--log", "tensorboard")
    assert result.code == 2
    pinned("table", result.err)
    assert not (tmp_path / "tensorboard").exists()
    assert cli("table", str(tmp_path), "--protocol", "11111111", "--log", "tensorboard").code == 0


def test_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "file").touch()
    runs = runs_of([LoggedRecord(of_step(5, 21.0), tmp_path / "file")])
    with pytest.raises(InputError, match=r"could not be logged to tensorboard: .* cannot be written"):
        log_runs(open_sinks(["tensorboard"]), runs, say=pytest.fail)


# --- Weights & Biases, offline --------------------------------------------------------------------------------------


@pytest.fixture
def wandb_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder that wandb writes to, without the settings of this machine."""
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_PROJECT", "WANDB_RUN_ID", "WANDB_NAME", "WANDB_RUN_GROUP", "WANDB_API_KEY", "WANDB_SILENT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "out of the way"
    folder.mkdir()
    for name in ("HOME", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    wandb.teardown()  # wandb reads its settings once per process.
    yield folder
    wandb.teardown()


def offline_runs(folder: Path) -> list[dict[str, Any]]:
    """Return the logged runs, read by wandb: identity, configuration, history and step metrics."""
    import wandb
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    wandb.teardown()  # Its service writes the last of it when it ends, as it does when a process ends.
    found = []
    for file in sorted(folder.glob("wandb/offline-run-*/run-*.wandb")):
        store = DataStore()
        store.open_for_scan(str(file))
        run: dict[str, Any] = {"folder": file.parent, "config": {}, "history": [], "over": {}}
        while (data := store.scan_data()) is not None:
            entry: Any = wandb_internal_pb2.Record()  # pyright: ignore[reportAttributeAccessIssue]
            entry.ParseFromString(data)
            kind = entry.WhichOneof("record_type")
            if kind == "run":
                run |= {"id": entry.run.run_id, "project": entry.run.project, "group": entry.run.run_group}
                run["name"] = entry.run.display_name
            elif kind == "config":
                run["config"] |= {item.key: json.loads(item.value_json) for item in entry.config.update}
            elif kind == "metric":
                run["over"][entry.metric.name or entry.metric.glob_name] = entry.metric.step_metric
            elif kind == "history":
                items = {"/".join(item.nested_key): json.loads(item.value_json) for item in entry.history.item}
                run["history"].append(items)
        store.close()
        found.append(run)
    return found


def test_wandb_has_a_run_with_the_means_at_the_steps(tmp_path: Path, wandb_dir: Path, cli: Callable[..., Said]) -> None:
    inria = other_protocol("inria-3dgs", "82a74b27")
    scored = {"checkpoint_sha256": "c0ffee", "command": ["nvs-eval", "run"]}
    early, late = of_step(500, 21.1, run="base", provenance=scored), of_step(2500, math.inf, run="base")
    other = of_step(500, 22.7, run="base", protocol=inria)
    write_all(tmp_path / "in", late, early, other)
    plain = cli("table", str(tmp_path / "in"))
    result = cli("table", str(tmp_path / "in"), "--log", "wandb")
    assert result.code == 0
    assert result.out == plain.out
    (run,) = offline_runs(wandb_dir)
    assert result.err == f"Weights & Biases, fox/nerfacto/base: wandb sync {run['folder']}\n"
    assert [run[key] for key in ("project", "group", "name")] == ["nvs-eval", "fox", "fox/nerfacto/base"]
    assert run["over"]["*"] == run["over"]["standard/psnr"] == run["over"]["inria-3dgs/ssim"] == "step"
    known = ("step", "standard/psnr", "standard/ssim", "inria-3dgs/psnr")
    history = [{key: items[key] for key in known if key in items} for items in run["history"]]
    assert history == [
        {"step": 500, "inria-3dgs/psnr": other.means["psnr"]},
        {"step": 500, "standard/psnr": early.means["psnr"], "standard/ssim": 0.5},
        {"step": 2500, "standard/psnr": math.inf, "standard/ssim": 0.5},
    ]
    config = run["config"]
    assert [config[key] for key in ("scene", "method", "run")] == ["fox", "nerfacto", "base"]
    assert config["standard/protocol"] == {**early.protocol, "split": "test"}
    assert config["standard/signatures"]["ssim"] == INFO["ssim"].signature
    assert config["standard/step 500"]["checkpoint_sha256"] == "c0ffee"
    assert "command" not in config["standard/step 500"]


def test_wandb_has_a_table_of_the_views(tmp_path: Path, wandb_dir: Path, cli: Callable[..., Said]) -> None:
    write_all(tmp_path / "in", of_step(500, 21.1))
    assert cli("table", str(tmp_path / "in"), "--log", "wandb").code == 0
    (run,) = offline_runs(wandb_dir)
    (file,) = run["folder"].rglob("*.table.json")
    table = json.loads(file.read_text())
    assert table["columns"] == ["view", "psnr", "ssim"]
    assert table["data"] == [["a", 21.1, 0.75], ["b", 21.1 + 1 / 3, 0.25]]


def test_wandb_run_logged_again_keeps_its_id(
    tmp_path: Path, wandb_dir: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "of my own")
    write_all(tmp_path / "in", of_step(500, 21.1), of_step(500, 21.1, run="b"))
    assert cli("table", str(tmp_path / "in"), "--log", "wandb").code == 0
    first = {run["name"]: run["id"] for run in offline_runs(wandb_dir)}
    assert set(first) == {"fox/nerfacto", "fox/nerfacto/b"}
    assert len(set(first.values())) == 2
    write_all(tmp_path / "later", of_step(1500, 23.0, run="b"))
    assert cli("table", str(tmp_path / "later"), "--log", "wandb").code == 0
    runs = offline_runs(wandb_dir)
    assert {run["name"]: run["id"] for run in runs} == first
    assert {run["project"] for run in runs} == {"of my own"}


def test_a_missing_login_is_an_error_before_any_work(
    here: Path, wandb_dir: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, pinned: Pinned
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    assert here == Path.cwd()
    pinned("score", refused(*SCORE, "--log", "wandb"))


@pytest.mark.parametrize("known", [True, False, None], ids=["logged in", "not", "no server to ask"])
def test_login_of_new_wandb_is_read_the_new_way(known: bool | None) -> None:
    from nvs_eval.report.loggers.wandb import _has_login

    class Newer:
        """wandb since 0.31, whose `api` warns."""

        Error = OSError

        @staticmethod
        def login(key: str | None = None, *, prompt: bool = True) -> bool:
            assert not prompt
            if known is None:
                raise Newer.Error("away")
            return known

    assert _has_login(Newer) is (known is not False)


def test_a_missing_network_ends_in_a_message(
    here: Path, wandb_dir: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.report.loggers import wandb as sink

    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # Nobody listens there.
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    patience = dict(sink._PATIENCE, x_graphql_retry_max=1)
    monkeypatch.setattr(sink, "_PATIENCE", patience)
    result = cli(*SCORE, "--log", "wandb")
    assert result.code == 2
    assert result.out == cli("table", "nvs-eval-results").out
    assert "Error: The records are written, but could not be logged to wandb: " in result.err
    assert "Traceback" not in result.err
    assert result.err.endswith("Log them again with: nvs-eval table RECORDS --log wandb\n")
