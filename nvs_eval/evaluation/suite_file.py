"""The file of `nvs-eval suite`: which methods are evaluated on which scenes, and where their renders or runs lie.

Which options a method may have is checked here; their values are checked where `run` and `score` have them.
"""

from __future__ import annotations

import glob
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.evaluation.options import RunOptions, ScoreOptions
from nvs_eval.records.result_id import safe_name
from nvs_eval.report.benchmarks import Scene, Suite, load_suite, named_suites
from nvs_eval.system.schema import Count, Text, convert, fields_of
from nvs_eval.system.yaml_files import read_as

KINDS: Mapping[str, type[RunOptions | ScoreOptions]] = {"score": ScoreOptions, "run": RunOptions}
"""Options of each command by which a method is evaluated."""
# Set by the file's own keys, or by the command line.
_NOT_OPTIONS = ("load_config", "renders", "scene", "method", "output_dir", "overwrite")
_EXAMPLE = "methods: {3dgs: {score: 'output/3dgs/{scene}'}}"
_SCENES = "scenes: [fox, garden]"
_LIST_OF_SCENES = (
    "a list of scenes: what is evaluated on them must be said too, in a file with `suite: {}` and `methods:`; "
    "docs/suites.md has an example."
)


@dataclass(frozen=True)
class Method:
    """A method of the file.

    Attributes:
        name: as records and tables have it.
        command: by which it is evaluated.
        inputs: what is given to the command: paths or patterns with placeholders.
        options: of the command, as they stand in the file.
    """

    name: str
    command: str
    inputs: Sequence[str]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class SuiteFile:
    """A suite file, read and checked.

    Attributes:
        file: where it is; its relative paths lead from its folder.
        suite: the scenes, in their order; a mean needs them all.
        placeholders: values of the placeholders of each scene's paths, by its name.
        output_dir: where records go.
        methods: in their order.
    """

    file: Path
    suite: Suite
    placeholders: Mapping[str, Mapping[str, str]]
    output_dir: Path
    methods: Sequence[Method]

    def path(self, text: str, values: Mapping[str, str]) -> Path:
        """Return a path of the file, from here.

        Raises:
            InputError: it has a placeholder that stands for nothing.
        """
        return self.file.parent / Path(_filled(text, values)).expanduser()

    def matches(self, text: str, values: Mapping[str, str]) -> list[Path]:
        """Return the path, or all that fit a pattern, sorted; none where nothing is there.

        Raises:
            InputError: it has a placeholder that stands for nothing.
        """
        if (path := self.path(text, values)).exists():
            return [path]  # Its name may well have brackets.
        names = {name: glob.escape(value) for name, value in values.items()}
        pattern = Path(glob.escape(str(self.file.parent))) / Path(_filled(text, names)).expanduser()
        return [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]


class _OwnScene(Struct, frozen=True, forbid_unknown_fields=True):
    """A scene of the file's own."""

    name: Text
    folder: Text | None = None
    factor: Count | None = None


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """What a file says itself, beside the options of `run` and `score`."""

    methods: Annotated[Mapping[Text, Any], Meta(min_length=1, examples=[_EXAMPLE])]
    suite: Text | None = None
    scenes: Annotated[tuple[Text | _OwnScene, ...], Meta(min_length=1, examples=[_SCENES])] | None = None
    title: Text | None = None
    output_dir: Text = "nvs-eval-results"


def load_suite_file(path: Path) -> SuiteFile:
    """Read the file of a suite.

    Raises:
        InputError: it is not there or not such a file; the message names what is wrong.
    """
    if str(path) in named_suites():
        raise InputError(f"{path} is {_LIST_OF_SCENES.format(path)}")
    return read_as(path, "suite", partial(_parse, path=path))


def _parse(data: object, *, path: Path) -> SuiteFile:
    _check_no_other_file(data)
    allowed = {
        command: [name for name in fields_of(kind) if name not in _NOT_OPTIONS] for command, kind in KINDS.items()
    }
    own, common = data, {}
    if isinstance(data, Mapping):
        shared = {name for command in _commands_used(data.get("methods")) for name in allowed[command]}
        common = {name: value for name, value in data.items() if name in shared}
        own = {name: value for name, value in data.items() if name not in shared}
        for name in own:
            if name not in fields_of(_File):
                raise unknown_name("field of the file", str(name), {*fields_of(_File), *shared})
    file = convert(own, _File, "the file")
    suite, placeholders = _scenes(file, path)
    methods = [_method(name, given, common, allowed) for name, given in file.methods.items()]
    _check_apart("methods", [method.name for method in methods])
    _check_apart("scenes", suite.names)
    return SuiteFile(path, suite, placeholders, path.parent / Path(file.output_dir).expanduser(), methods)


def _check_no_other_file(data: object) -> None:
    """Check that it is not one of the files that such a file names.

    Raises:
        InputError: it is; the message says which, and how it is named.
    """
    if not isinstance(data, Mapping) or "methods" in data:
        return
    if "scenes" in data and {"name", "source", "split"} & set(data):
        raise InputError(f"it is {_LIST_OF_SCENES.format('PATH')}")
    if {"metrics", "quantise"} <= set(data):
        raise InputError(
            "it is a protocol, which says how views are scored: which methods and scenes must be said in a file with "
            "`protocol: PATH`, `scenes:` and `methods:`; docs/suites.md has an example."
        )


def _commands_used(methods: object) -> set[str]:
    """Return the commands by which methods are evaluated, as far as the file can be understood; else both."""
    given = [method for method in methods.values() if isinstance(method, Mapping)] if isinstance(methods, dict) else []
    return {command for command in KINDS for method in given if command in method} or set(KINDS)


def _scenes(file: _File, path: Path) -> tuple[Suite, dict[str, dict[str, str]]]:
    """Return the scenes, and the values of the placeholders of each, with those of a factor that is known."""
    own = [_OwnScene(scene) if isinstance(scene, str) else scene for scene in file.scenes or ()]
    if file.suite is None:
        if not own:
            raise InputError(f"it names no scenes: say `suite: mipnerf360`, or another suite, or `{_SCENES}`.")
        scenes = tuple(Scene(scene.name, scene.folder or scene.name, scene.factor or 1) for scene in own)
        suite = Suite(path.stem, some(scene.name for scene in scenes), "", "test", scenes)
        unknown = {scene.name for scene in own if scene.factor is None}
    else:
        is_file = file.suite.endswith((".yaml", ".yml")) and file.suite not in named_suites()
        suite, unknown = load_suite(path.parent / file.suite if is_file else file.suite), set()
        if own:
            scenes = tuple(_of_suite(scene, suite) for scene in own)
            suite = replace(suite, name=path.stem, title=f"{len(scenes)} scenes of {suite.title}", scenes=scenes)
    placeholders = {scene.name: {"scene": scene.name, "folder": scene.folder} for scene in suite.scenes}
    for scene in suite.scenes:
        if scene.name not in unknown:
            placeholders[scene.name]["factor"] = str(scene.factor)
    return replace(suite, title=file.title or suite.title), placeholders


def _of_suite(own: _OwnScene, suite: Suite) -> Scene:
    if own.folder is not None or own.factor is not None:
        raise InputError(f"the folder and factor of {own.name} are those of {suite.name}: give its name alone.")
    if (scene := suite.scene(own.name)) is None:
        raise unknown_name(f"scene of {suite.name}", own.name, suite.names)
    return scene


def _check_apart(what: str, names: Sequence[str]) -> None:
    """Check that none is there twice, and no two would be written to one folder, on a disk that ignores case neither.

    Raises:
        InputError: naming them.
    """
    seen: dict[str, str] = {}
    for name in names:
        place = safe_name(name).casefold()
        if seen.get(place) == name:
            raise InputError(f"{name!r} is there twice among the {what}: leave one out.")
        if place in seen:
            raise InputError(
                f"the {what} {seen[place]!r} and {name!r} would be written to one folder, at least where names that "
                "differ only in case are the same: rename one of them."
            )
        seen[place] = name


def _method(name: str, given: object, common: Mapping[str, Any], allowed: Mapping[str, Sequence[str]]) -> Method:
    commands = [command for command in KINDS if isinstance(given, Mapping) and command in given]
    if not isinstance(given, Mapping) or len(commands) != 1:
        raise InputError(
            f"the method {name} must have either `score:` and folders of renders, or `run:` and the config.yml of "
            f"trained runs: `{_EXAMPLE}`."
        )
    (command,) = commands
    own = {option: value for option, value in given.items() if option != command}
    for option in own:
        if option not in allowed[command]:
            raise unknown_name(f"option of the method {name}, of `nvs-eval {command}`,", str(option), allowed[command])
    paths: Any = Annotated[tuple[Text, ...], Meta(min_length=1, examples=[f"{command}: 'output/{{scene}}'"])]
    inputs = convert(given[command], paths, f"methods.{name}.{command}")
    return Method(name, command, inputs, {**{key: common[key] for key in allowed[command] if key in common}, **own})


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a path with the values of its placeholders."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise InputError(
            f"{text!r} is no path with placeholders ({error}): a brace of its own is doubled, {{{{."
        ) from None
    for _, name, form, conversion in parts:
        if name == "factor" and name not in values:
            raise InputError(
                f"{text!r} has {{factor}}, and the factor of the scene {values['scene']} is not said: give it as "
                f"`scenes: [{{name: {values['scene']}, factor: 2}}]`."
            )
        if name is not None and (name not in values or form or conversion):
            raise unknown_name(f"placeholder of {text!r}", name, values)
    return "".join(before + ("" if name is None else values[name]) for before, name, _, _ in parts)
