"""Files of `nvs-eval suite`: methods, scenes, and the paths of their renders or runs.

The names of a method's options are checked here; `RunOptions` and `ScoreOptions` check their values.
"""

from __future__ import annotations

import glob
import os
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import replace

from nvs_eval.errors import InputError, quoted, some, unknown_name
from nvs_eval.evaluation.options import RunOptions, ScoreOptions
from nvs_eval.evaluation.suite_index import suite_of_index
from nvs_eval.records.result_id import safe_name
from nvs_eval.report.benchmarks import Scene, Suite, load_suite, named_suites
from nvs_eval.sources.evaluation_index import EvaluationIndex
from nvs_eval.system.schema import Count, Name, Text, convert, fields_of
from nvs_eval.system.yaml_files import read_as

KINDS: Mapping[str, type[RunOptions | ScoreOptions]] = {"score": ScoreOptions, "run": RunOptions}
"""Options class of each command that can evaluate a method."""
# Options set by the file's own keys or by the command line.
_NOT_OPTIONS = ("load_config", "renders", "scene", "method", "output_dir", "overwrite", "rehash", "trust")
_EXAMPLE = "methods: {3dgs: {score: 'output/3dgs/{scene}'}}"
_MOST_SEARCHED = 200_000
_SCENES = "scenes: [fox, garden]"
_LIST_OF_SCENES = (
    "a list of scenes without methods. Write a file with `suite: {}` and `methods:`; docs/suites.md has an example."
)


@dataclass(frozen=True)
class Method:
    """Method of a suite file.

    Attributes:
        name: name in records and tables.
        command: command that evaluates it.
        inputs: inputs of the command: paths or patterns, with placeholders.
        options: options of the command, as written in the file.
    """

    name: str
    command: str
    inputs: Sequence[str]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class SuiteFile:
    """Suite file, read and checked.

    Attributes:
        file: path of the file; relative paths in it start from its folder.
        suite: scenes in their order; a mean requires all of them.
        placeholders: values of the path placeholders of each scene, by name.
        output_dir: output folder of the records.
        methods: methods in their order.
        index: evaluation index that lists the scenes and their views, or None.
        note: sentence on an index that is not the suite's own; "" for none.
    """

    file: Path
    suite: Suite
    placeholders: Mapping[str, Mapping[str, str]]
    output_dir: Path
    methods: Sequence[Method]
    index: EvaluationIndex | None = None
    note: str = ""

    def path(self, text: str, values: Mapping[str, str]) -> Path:
        """Return a path of the file, relative to the working directory.

        Raises:
            InputError: It has an unknown placeholder.
        """
        return self.file.parent / _expanded(_filled(text, values))

    def matches(self, text: str, values: Mapping[str, str]) -> list[Path]:
        """Return the path if it exists, or else all matches of the pattern, sorted.

        Raises:
            InputError: It has an unknown placeholder, or `**` in it stands for too many folders.
        """
        if os.path.exists(path := self.path(text, values)):  # False for a path that is too long.
            return [path]  # A real name may contain brackets.
        names = {name: glob.escape(value) for name, value in values.items()}
        pattern = Path(glob.escape(str(self.file.parent))) / _expanded(_filled(text, names))
        _check_reach(text, pattern)
        return [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]


class _OwnScene(Struct, frozen=True, forbid_unknown_fields=True):
    """Scene defined in the file."""

    name: Name
    folder: Text | None = None
    factor: Count | None = None


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """Fields of a suite file other than the options of `run` and `score`."""

    methods: Annotated[Mapping[Name, Any], Meta(min_length=1, examples=[_EXAMPLE])]
    suite: Text | None = None
    index: Text | None = None
    scenes: Annotated[tuple[Name | _OwnScene, ...], Meta(min_length=1, examples=[_SCENES])] = ()
    title: Text | None = None
    output_dir: Text = "nvs-eval-results"


def load_suite_file(path: Path) -> SuiteFile:
    """Read a suite file.

    Raises:
        InputError: The file does not exist or is not a suite file; the message names the mistake.
    """
    if str(path) in named_suites():
        raise InputError(f"{path} is {_LIST_OF_SCENES.format(path)}")
    return read_as(path, "suite", partial(_parse, path=path))


def _parse(data: object, *, path: Path) -> SuiteFile:
    _check_no_other_file(data)
    allowed = {
        command: [name for name in fields_of(kind) if name not in _NOT_OPTIONS] for command, kind in KINDS.items()
    }
    fields, common = data, {}
    if isinstance(data, Mapping):
        shared = {name for command in _commands_used(data.get("methods")) for name in allowed[command]}
        common = {name: value for name, value in data.items() if name in shared}
        fields = {name: value for name, value in data.items() if name not in shared}
        for name in fields:
            if name not in fields_of(_File):
                raise unknown_name("field of the file", str(name), {*fields_of(_File), *shared})
    file = convert(fields, _File, "the file")
    suite, index, note = None, None, ""
    if file.suite is not None:
        is_file = file.suite.endswith((".yaml", ".yml")) and file.suite not in named_suites()
        suite = load_suite(path.parent / file.suite if is_file else file.suite)
    if file.index is not None or (suite is not None and suite.index is not None):
        index_file = None if file.index is None else path.parent / _expanded(file.index)
        suite, index, note = suite_of_index(suite, index_file, path.stem)
    suite, placeholders = _scenes(file, path, suite)
    methods = [_method(name, entry, common, allowed) for name, entry in file.methods.items()]
    _check_distinct("methods", [method.name for method in methods])
    _check_distinct("scenes", suite.names)
    output_dir = path.parent / _expanded(file.output_dir)
    return SuiteFile(path, suite, placeholders, output_dir, methods, index, note)


def _check_no_other_file(data: object) -> None:
    """Check that the data is not that of a list of scenes or a protocol, which a suite file refers to.

    Raises:
        InputError: It is; the message explains how to refer to it.
    """
    if not isinstance(data, Mapping) or "methods" in data:
        return
    if "scenes" in data and {"name", "source", "split"} & set(data):
        raise InputError(f"it is {_LIST_OF_SCENES.format('PATH')}")
    if {"metrics", "quantise"} <= set(data):
        raise InputError(
            "it is a protocol without methods and scenes. Write a file with `protocol: PATH`, `scenes:` and "
            "`methods:`; docs/suites.md has an example."
        )


def _commands_used(methods: object) -> set[str]:
    """Return the commands that the methods use; both commands if there are no valid methods."""
    valid = [method for method in methods.values() if isinstance(method, Mapping)] if isinstance(methods, dict) else []
    return {command for command in KINDS for method in valid if command in method} or set(KINDS)


def _scenes(file: _File, path: Path, suite: Suite | None) -> tuple[Suite, dict[str, dict[str, str]]]:
    """Return the scenes, and the placeholder values of each; `factor` only if it is known."""
    listed = [_OwnScene(scene) if isinstance(scene, str) else scene for scene in file.scenes]
    if suite is None:
        if not listed:
            raise InputError(f"it must name scenes. Add `suite: mipnerf360` (or another suite) or `{_SCENES}`.")
        scenes = tuple(Scene(scene.name, scene.folder or scene.name, scene.factor or 1) for scene in listed)
        suite = Suite(path.stem, some(scene.name for scene in scenes), "", "test", scenes)
        without_factor = {scene.name for scene in listed if scene.factor is None}
    else:
        without_factor = set() if file.index is None else {*suite.names}
        if listed:
            by_name = suite.by_name
            scenes = tuple(_scene_of_suite(scene, suite, by_name) for scene in listed)
            title = f"{len(scenes)} scenes of {suite.title}"
            suite = replace(suite, name=path.stem, title=title, scenes=scenes, index=None)
    placeholders = {scene.name: {"scene": scene.name, "folder": scene.folder} for scene in suite.scenes}
    for scene in suite.scenes:
        if scene.name not in without_factor:
            placeholders[scene.name]["factor"] = str(scene.factor)
    return replace(suite, title=file.title or suite.title), placeholders


def _scene_of_suite(listed: _OwnScene, suite: Suite, by_name: Mapping[str, Scene]) -> Scene:
    if listed.folder is not None or listed.factor is not None:
        raise InputError(f"the folder and factor of {listed.name} come from {suite.name}. Give only its name.")
    if (scene := by_name.get(listed.name)) is None:
        raise unknown_name(f"scene of {suite.name}", listed.name, suite.names)
    return scene


def _check_distinct(kind: str, names: Sequence[str]) -> None:
    """Check that names are distinct, and that no two share an output folder, even on a disk that ignores case.

    Raises:
        InputError: Two names clash; the message names them.
    """
    name_by_folder: dict[str, str] = {}
    for name in names:
        folder = safe_name(name).casefold()
        if name_by_folder.get(folder) == name:
            raise InputError(f"{quoted(name)} appears twice among the {kind}. Remove one.")
        if folder in name_by_folder:
            raise InputError(
                f"the {kind} {quoted(name_by_folder[folder])} and {quoted(name)} would be written to the same "
                "folder, at least on a disk that ignores case. Rename one of them."
            )
        name_by_folder[folder] = name


def _method(name: str, entry: object, common: Mapping[str, Any], allowed: Mapping[str, Sequence[str]]) -> Method:
    commands = [command for command in KINDS if isinstance(entry, Mapping) and command in entry]
    if not isinstance(entry, Mapping) or len(commands) != 1:
        raise InputError(
            f"the method {name} must have either `score:` with folders of renders, or `run:` with the config.yml of "
            f"trained runs, such as `{_EXAMPLE}`."
        )
    (command,) = commands
    options = {option: value for option, value in entry.items() if option != command}
    for option, value in {**common, **options}.items():
        if option in options and option not in allowed[command]:
            raise unknown_name(f"`nvs-eval {command}` option of the method {name}:", str(option), allowed[command])
        if value == []:
            raise InputError(f"{option} must have at least one value. Got none. Remove it to use the default.")
    paths: Any = Annotated[tuple[Text, ...], Meta(min_length=1, examples=[f"{command}: 'output/{{scene}}'"])]
    inputs = convert(entry[command], paths, f"methods.{name}.{command}")
    return Method(name, command, inputs, {**{key: common[key] for key in allowed[command] if key in common}, **options})


def _expanded(text: str) -> Path:
    """Return a path with `~` replaced by the home folder.

    Raises:
        InputError: it is no path, or the home folder is unknown.
    """
    if "\0" in text:
        raise InputError(f"{quoted(text)} must be a path. Got a null character in it.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(
            f"{quoted(text)} begins with ~, but that home folder is unknown. Write the path out."
        ) from error


def _check_reach(text: str, pattern: Path) -> None:
    """Check that few enough files lie below the folder in which `**` of a pattern searches."""
    if "**" not in pattern.parts:
        return
    start = pattern.parts[: next(index for index, part in enumerate(pattern.parts) if glob.has_magic(part))]
    count = 0
    for _, folders, files in os.walk(Path(*start)):
        count += len(folders) + len(files)
        if count > _MOST_SEARCHED:
            raise InputError(
                f"{quoted(text)} must search at most {_MOST_SEARCHED} files. More lie below {Path(*start)}. Write more "
                "of the path before `**`."
            )


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a path with its placeholders replaced by their values."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise InputError(
            f"{quoted(text)} must be a path with placeholders ({error}). Write a literal brace twice: {{{{."
        ) from None
    for _, name, form, conversion in parts:
        if name == "factor" and name not in values:
            raise InputError(
                f"{quoted(text)} uses {{factor}}, but the scene {values['scene']} has none. Set it with "
                f"`scenes: [{{name: {values['scene']}, factor: 2}}]`."
            )
        if name is not None and (name not in values or form or conversion):
            raise unknown_name(f"placeholder in {quoted(text)}:", name, values)
    return "".join(before + ("" if name is None else values[name]) for before, name, _, _ in parts)
