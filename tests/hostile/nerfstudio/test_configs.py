"""Hostile configurations of a nerfstudio run, given to `nvs-eval inspect` and `nvs-eval run`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import Said
from support.hostile import CANARY, Case, Payload

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from support.tiny_run import CONFIG, INSPECT, RUN, write_run

from nvs_eval_nerfstudio import source
from nvs_eval_nerfstudio.quiet import import_nerfstudio

import_nerfstudio()

from nerfstudio.configs.base_config import MachineConfig  # noqa: E402
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager  # noqa: E402
from nerfstudio.data.dataparsers.dycheck_dataparser import DycheckDataParserConfig  # noqa: E402
from nerfstudio.data.dataparsers.minimal_dataparser import MinimalDataParser, MinimalDataParserConfig  # noqa: E402
from nerfstudio.data.datasets.depth_dataset import DepthDataset  # noqa: E402

TAG = "!!python/object:nerfstudio."
LEFT = "  _target: !!python/name:nerfstudio.data.datamanagers.base_datamanager.VanillaDataManager ''"


HOOK = "_target: &hook !!python/object:nvs_eval_nerfstudio.hook.Instrumented"


def hooked(field: str) -> Callable[[], None]:
    """Put the hook in the place of the pipeline's class."""
    return text(r"^  _target: !!python/name:nerfstudio\.pipelines\S+ ''", f"  {HOOK}\n    {field}")


def config(change: Callable[[Any], object]) -> Callable[[], None]:
    return lambda: write_run(change)


def manager(**values: Any) -> Callable[[], None]:
    return config(lambda run: [setattr(run.pipeline.datamanager, name, value) for name, value in values.items()])


def text(old: str, new: str) -> Callable[[], None]:
    """Replace a part of the text of the configuration."""

    def change(before: str) -> str:
        after = re.sub(old, lambda _: new, before, count=1, flags=re.MULTILINE)
        assert after != before
        return after

    return lambda: write_run(text=change)


def whole(content: str) -> Callable[[], None]:
    """Append fields to the configuration."""
    return lambda: write_run(text=lambda before: before + content)


def field(name: str, value: str) -> Callable[[], None]:
    """Replace the value of a field of the run."""
    return text(rf"^{name}:.*\n(- .*\n)*", f"{name}: {value}\n")


def minimal() -> None:
    """Write a run whose data parser unpickles an array that lies beside its data."""
    write_run(lambda run: setattr(run.pipeline.datamanager, "dataparser", MinimalDataParserConfig()))
    for split in ("train", "test"):
        np.savez(Path("scene", f"{split}.npz"), image_filenames=np.array([Payload()], dtype=object))


def in_place_of_the_parser() -> None:
    write_run(lambda run: setattr(run.pipeline.datamanager.dataparser, "_target", MinimalDataParser))


def laughs(opening: str, closing: str) -> str:
    lines = [f"a0: &a0 {opening}ha{closing}"]
    lines += [f"a{n}: &a{n} {opening}{', '.join([f'*a{n - 1}'] * 9)}{closing}" for n in range(1, 12)]
    return "\n".join(lines) + "\n"


def keys() -> str:
    levels = (f"  ? &k{n} [*k{n - 1}, *k{n - 1}]\n  : 1\n" for n in range(1, 40))
    return "".join(["deep:\n  ? &k0 [a, b]\n  : 1\n", *levels])


def itself() -> None:
    """Write a configuration whose pipeline is the configuration."""
    place = "pipeline: !!python/object:nerfstudio.pipelines.base_pipeline.VanillaPipelineConfig\n"

    def change(before: str) -> str:
        assert place in before
        return f"&run {before.replace(place, 'pipeline: *run' + chr(10) + 'other:' + chr(10))}"

    write_run(text=change)


def without_a_class() -> None:
    """Write a configuration of a data parser that leaves its class to the default."""

    def change(before: str) -> str:
        after = re.sub(r"^ +_target: \S+ ?\S*minimal_dataparser\S+ ''\n", "", before, flags=re.MULTILINE)
        assert after != before
        return after

    write_run(lambda run: setattr(run.pipeline.datamanager, "dataparser", MinimalDataParserConfig()), text=change)


def pipe() -> None:
    write_run()
    CONFIG.unlink()
    os.mkfifo(CONFIG)


def large() -> None:
    write_run()
    with CONFIG.open("ab") as file:
        file.truncate(10**9)


UNKNOWN = r"is not known to load plain files only.*--trust"
EXPANDS = r"at most 100000 values"


OF_BOTH: dict[str, tuple[Callable[[], None], str]] = {
    "a parser that unpickles": (minimal, rf"MinimalDataParser {UNKNOWN}"),
    "its class in place of another": (in_place_of_the_parser, rf"MinimalDataParser {UNKNOWN}"),
    "its configuration without a class": (without_a_class, rf"MinimalDataParser {UNKNOWN}"),
    "a parser that writes": (manager(dataparser=DycheckDataParserConfig()), rf"Dycheck {UNKNOWN}"),
    "a dataset that fetches code": (manager(_target=VanillaDataManager[DepthDataset]), rf"DepthDataset {UNKNOWN}"),
    "a text as class": (
        text(
            LEFT,
            "  _target: !!python/object/apply:_operator.getitem [!!python/name:nerfstudio.data.datamanagers."
            f"base_datamanager.VanillaDataManager '', \"__import__('os').system('touch {CANARY}')\"]",
        ),
        r"parameters are not classes",
    ),
    "a server in place of a parser": (
        text(r"!!python/name:nerfstudio.data.dataparsers\S+ ''", "!!python/name:nerfstudio.viewer.viewer.Viewer ''"),
        r"must be of the kind of Nerfstudio",
    ),
    "a model in place of a pipeline": (
        text(r"!!python/name:nerfstudio.pipelines\S+ ''", "!!python/name:nerfstudio.models.nerfacto.NerfactoModel ''"),
        r"must be of the kind of VanillaPipeline",
    ),
    "the hook of a text": (hooked("original: os.system"), r"Instrumented is refused: it names no class to build"),
    "the hook of a list": (hooked("original: [1]"), r"Instrumented is refused: it names no class to build"),
    "the hook of nothing": (hooked("protocols: []"), r"Instrumented is refused: it names no class to build"),
    "the hook of itself": (hooked("original: *hook"), r"Instrumented is refused: it names no class to build"),
    "the hook of a server": (
        hooked("original: !!python/name:nerfstudio.viewer.viewer.Viewer ''"), r"must be of the kind of Pipeline"
    ),
    "the hook in place of a data manager": (
        text(LEFT, f"  {HOOK}\n      original: {LEFT.partition(': ')[2]}"), r"it names no class to build"
    ),
    "a configuration as class": (text(LEFT, f"  _target: {TAG}configs.base_config.MachineConfig {{}}"), "no class"),
    "our command in place of a function": (
        text(r"!!python/name:nerfstudio\.data\.utils\S+ ''", "!!python/name:nvs_eval.cli.main.main ''"),
        r"of nvs-eval a configuration may name only the hook",
    ),
    "aliases": (whole(laughs("[", "]")), EXPANDS),
    "aliases of tuples": (whole(laughs("!!python/tuple [", "]")), EXPANDS),
    "aliases of merges": (whole(laughs("{k: 1, <<: [", "]}").replace("[ha]", "[{b: 1}]")), EXPANDS),
    "keys of tuples": (whole(keys()), EXPANDS),
    "a long text": (whole(f"long: {'x' * 10**5}\n"), r"at most 65536 characters"),
    "a large file": (large, r"at most 4\.2 MB"),
    "deep lists": (whole(f"deep: {'[' * 10**4}"), r"at most 64 levels"),
    "a large number": (field("max_num_iterations", "9" * 4000), r"at most 64 bits"),
    "a pipe": (pipe, r"must be a regular file"),
    "a method that is a list": (field("method_name", "[1]"), r"method_name must be .*Got \[1\]"),
    "a scene that is a mapping": (field("experiment_name", "{a: 1}"), r"experiment_name must be .*Got \{'a': 1\}"),
    "a time that is a number": (field("timestamp", "7"), r"timestamp must be str\. Got 7"),
    "a folder that is a number": (field("relative_model_dir", "7"), r"relative_model_dir must be Path"),
    "data that is a number": (manager(data=7), r"pipeline\.datamanager\.data must be .*Path.* Got 7"),
    "a pipeline that is null": (config(lambda run: setattr(run, "pipeline", None)), r"pipeline must be .*Got None"),
    "another configuration as pipeline": (
        config(lambda run: setattr(run, "pipeline", MachineConfig())), r"pipeline must be .*VanillaPipelineConfig"
    ),
    "a data manager that is a list": (
        config(lambda run: setattr(run.pipeline, "datamanager", [1])), r"pipeline\.datamanager must be"
    ),
    "a parser that is a text": (manager(dataparser="x"), r"pipeline\.datamanager\.dataparser must be .*Got 'x'"),
    "a model of numbers": (
        config(lambda run: setattr(run.pipeline.model, "near_plane", "x")), r"pipeline\.model\.near_plane must be float"
    ),
    "a name with NUL": (field("experiment_name", r'"a\0b"'), r"experiment_name must be"),
    "half a character": (field("method_name", r'"\ud800"'), r"method_name must be"),
    "a long value": (field("timestamp", f"[{'1, ' * 5000}]"), r"timestamp must be str\. Got \[1, 1"),
    "itself": (itself, r"pipeline must be"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    source._built.clear()


BOTH_COMMANDS = 4
"""Number of cases that both commands get. The others alternate, because both load a configuration in the same way."""


@pytest.mark.parametrize(
    ("name", "command"),
    [
        *((name, INSPECT) for name in [*OF_BOTH][:BOTH_COMMANDS]),
        *((name, RUN) for name in [*OF_BOTH][:BOTH_COMMANDS]),
        *((name, (INSPECT, RUN)[index % 2]) for index, name in enumerate([*OF_BOTH][BOTH_COMMANDS:])),
    ],
)
def test_hostile_configuration(name: str, command: list[str], meets: Callable[[Case], Said]) -> None:
    make, message = OF_BOTH[name]

    def write() -> list[str]:
        make()
        return command

    meets(Case(write, message))


def model(**values: Any) -> Callable[[], None]:
    return config(lambda run: [setattr(run.pipeline.model, name, value) for name, value in values.items()])


OF_RUNS: dict[str, tuple[Callable[[], None], str]] = {
    "a negative number of levels": (model(num_levels=-1), r"building nerfacto fails: |does not fit"),
    "a table without end": (model(log2_hashmap_size=60), r"building nerfacto fails: |Out of memory|does not fit"),
    "a layer without end": (model(hidden_dim=2**40), r"building nerfacto fails: |Out of memory|does not fit"),
    "no samples": (model(num_nerf_samples_per_ray=0), r"rendering view .* fails: |must be"),
    "no networks": (model(proposal_net_args_list=[]), r"building nerfacto fails: "),
    "options of no network": (model(proposal_net_args_list=[{"a": 1}]), r"building nerfacto fails: TypeError"),
}


@pytest.mark.parametrize("name", OF_RUNS)
def test_impossible_values(name: str, meets: Callable[[Case], Said]) -> None:
    make, message = OF_RUNS[name]

    def write() -> list[str]:
        make()
        return RUN

    meets(Case(write, message))


def test_trust_admits_what_was_refused(
    cli: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The payload runs, which proves that the cases above test something."""
    monkeypatch.chdir(tmp_path)
    minimal()
    said = cli(*INSPECT, "--trust")
    assert said.code == 2 and "Traceback" not in said.err
    assert Path(CANARY).exists()
