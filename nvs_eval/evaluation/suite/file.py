"""The file of `nvs-eval suite`: which methods are evaluated on which scenes, and where their renders or runs lie.

Only what the file itself says is checked here; what options there are, and what they may be, is the commands'.
"""

from __future__ import annotations

import glob
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from nvs_eval.errors import InputError, some, unknown_name
from nvs_eval.records.record import safe_name
from nvs_eval.report.benchmarks.suites import Scene, Suite, load_suite, named_suites
from nvs_eval.system.yaml_files import checked_count, checked_keys, checked_list, checked_mapping, checked_text, read_as

Command = Literal["run", "score"]
_COMMANDS: tuple[Command, Command] = ("run", "score")
_OWN = ("suite", "scenes", "title", "output_dir", "methods")
_EXAMPLE = "methods: {3dgs: {score: 'output/3dgs/{scene}'}}"
_SCENES = "scenes: [fox, garden]"


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
    command: Command
    inputs: Sequence[str]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class SuiteFile:
    """What a file says.

    Attributes:
        file: where it is; its relative paths lead from its folder.
        suite: the scenes, in their order; a mean needs them all.
        output_dir: where records go.
        methods: in their order.
        factors: the scenes of which the factor is known.
    """

    file: Path
    suite: Suite
    output_dir: Path
    methods: Sequence[Method]
    factors: Collection[str]

    def placeholders(self, method: Method, scene: Scene) -> dict[str, str]:
        """What placeholders stand for."""
        known = {"scene": scene.name, "folder": scene.folder, "method": method.name}
        return {**known, "factor": str(scene.factor)} if scene.name in self.factors else known

    def path(self, text: str, values: Mapping[str, str]) -> Path:
        """A path of the file, from here.

        Raises:
            InputError: it has a placeholder that stands for nothing.
        """
        return self.file.parent / Path(_filled(text, values)).expanduser()

    def matches(self, text: str, values: Mapping[str, str]) -> list[Path]:
        """The path, or all that fit a pattern, sorted; none where nothing is there.

        Raises:
            InputError: it has a placeholder that stands for nothing.
        """
        if (path := self.path(text, values)).exists():
            return [path]  # Its name may well have brackets.
        names = {name: glob.escape(value) for name, value in values.items()}
        pattern = Path(glob.escape(str(self.file.parent))) / Path(_filled(text, names)).expanduser()
        return [Path(found) for found in sorted(glob.glob(str(pattern), recursive=True))]


def load_suite_file(path: Path, options: Mapping[Command, Collection[str]]) -> SuiteFile:
    """Read the file of a suite.

    Args:
        path: of the file.
        options: those that a method may have, by the command.

    Raises:
        InputError: it is not there or not such a file; the message names what is wrong.
    """
    if str(path) in named_suites():
        raise InputError(
            f"{path} is a list of scenes: what is evaluated on them must be said too, in a file with `suite: {path}` "
            "and `methods:`; docs/suites.md has an example."
        )
    return read_as(path, "suite", partial(_parse, file=path, options=options))


def _parse(data: object, *, file: Path, options: Mapping[Command, Collection[str]]) -> SuiteFile:
    _check_no_other_file(data)
    used = _commands_used(data)
    common = sorted({name for command in used for name in options[command]})
    values = checked_keys(data, "the file", ("methods",), (*(name for name in _OWN if name != "methods"), *common))
    suite, factors = _suite(values, file)
    methods = [
        _method(name, given, {name: values[name] for name in common if name in values}, options)
        for name, given in checked_mapping(values["methods"], "methods", _EXAMPLE).items()
    ]
    _check_apart("methods", [method.name for method in methods])
    _check_apart("scenes", suite.names)
    output_dir = checked_text(values.get("output_dir", "nvs-eval-results"), "output_dir")
    return SuiteFile(file, suite, file.parent / Path(output_dir).expanduser(), methods, factors)


def _check_no_other_file(data: object) -> None:
    """Check that it is not one of the files that such a file names.

    Raises:
        InputError: it is; the message says which, and how it is named.
    """
    if not isinstance(data, Mapping) or "methods" in data:
        return
    other = "and `methods:`; docs/suites.md has an example."
    if "scenes" in data and {"name", "source", "split"} & set(data):
        raise InputError(
            "it is a list of scenes: what is evaluated on them must be said too, in a file with `suite: PATH` " + other
        )
    if {"metrics", "quantise"} <= set(data):
        raise InputError(
            "it is a protocol, which says how views are scored: which methods and scenes must be said in a file with "
            "`protocol: PATH`, `scenes:` " + other
        )


def _commands_used(data: object) -> set[Command]:
    """By which commands methods are evaluated, as far as the file can be understood; else both."""
    methods = data.get("methods") if isinstance(data, Mapping) else None
    given = [method for method in methods.values() if isinstance(method, Mapping)] if isinstance(methods, dict) else []
    return {command for command in _COMMANDS for method in given if command in method} or set(_COMMANDS)


# --- Scenes ---------------------------------------------------------------------------------------------------------


def _suite(values: Mapping[str, Any], file: Path) -> tuple[Suite, set[str]]:
    """The scenes, and those of which the factor is known."""
    if "suite" not in values and "scenes" not in values:
        raise InputError(f"it names no scenes: say `suite: mipnerf360`, or another suite, or `{_SCENES}`.")
    if "suite" not in values:
        return _own_suite(values, file.stem)
    name = checked_text(values["suite"], "suite")
    is_file = name.endswith((".yaml", ".yml")) and name not in named_suites()
    suite = load_suite(file.parent / name if is_file else name)
    if "scenes" in values:
        chosen = [_of_suite(name, suite) for name in checked_list(values["scenes"], "scenes", _SCENES)]
        suite = replace(suite, name=file.stem, title=f"{len(chosen)} scenes of {suite.title}", scenes=tuple(chosen))
    if "title" in values:
        suite = replace(suite, title=checked_text(values["title"], "title"))
    return suite, set(suite.names)


def _of_suite(name: object, suite: Suite) -> Scene:
    if not isinstance(name, str) or (scene := suite.scene(name)) is None:
        raise unknown_name(f"scene of {suite.name}", str(name), suite.names)
    return scene


def _own_suite(values: Mapping[str, Any], stem: str) -> tuple[Suite, set[str]]:
    found, factors = [], set()
    for given in checked_list(values["scenes"], "scenes", _SCENES):
        plain = given if isinstance(given, Mapping) else {"name": given}
        said = checked_keys(plain, "a scene", ("name",), ("folder", "factor"))
        name = checked_text(said["name"], "a scene's name")
        if "factor" in said:
            factors.add(name)
        factor = checked_count(said.get("factor", 1), f"factor of {name}")
        found.append(Scene(name, checked_text(said.get("folder", name), f"folder of {name}"), factor))
    title = checked_text(values.get("title", some(scene.name for scene in found)), "title")
    return Suite(stem, title, "", "test", tuple(found)), factors


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


# --- Methods --------------------------------------------------------------------------------------------------------


def _method(name: str, given: object, common: Mapping[str, Any], options: Mapping[Command, Collection[str]]) -> Method:
    which: list[Command] = [each for each in _COMMANDS if isinstance(given, Mapping) and each in given]
    if not isinstance(given, Mapping) or len(which) != 1:
        raise InputError(
            f"the method {name} must have either `score:` and folders of renders, or `run:` and the config.yml of "
            f"trained runs: `{_EXAMPLE}`."
        )
    (command,) = which
    known = options[command]
    for option in given:
        if option != command and option not in known:
            raise unknown_name(f"option of the method {name}, of `nvs-eval {command}`,", str(option), known)
    inputs = given[command] if isinstance(given[command], list) else [given[command]]
    paths = checked_list(inputs, f"{command} of {name}", f"{command}: 'output/{{scene}}'")
    own = {option: value for option, value in given.items() if option != command}
    return Method(
        name,
        command,
        [checked_text(path, f"{command} of {name}") for path in paths],
        {**{option: value for option, value in common.items() if option in known}, **own},
    )


def _filled(text: str, values: Mapping[str, str]) -> str:
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
