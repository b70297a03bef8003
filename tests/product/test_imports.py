"""Rules of imports between rooms, of late imports, and of printing; each rule is shown to fail when broken."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from support.protocols import protocol_file
from support.records import record
from support.scenes import write_pngs

import nvs_eval
from nvs_eval.metrics.registry import AVERAGE, FAMILIES
from nvs_eval.records.record import write_record
from nvs_eval.report.writers import FORMATS

PACKAGE = Path(nvs_eval.__file__).parent

# A room may import rooms of earlier levels only.
LEVELS = (
    ("errors",),
    ("system",),
    ("images", "records", "metrics"),
    ("protocols", "sources", "report"),
    ("evaluation", "comparison"),
    ("diagnostics",),
    ("api",),
    ("cli",),
)
# Rooms that tables need. They must start fast, and so import none of HEAVY.
LIGHT = (
    "errors",
    "system.arguments",
    "system.files",
    "system.plugins",
    "system.schema",
    "system.yaml_files",
    "records",
    "report",
)
# Tables also show facts about metrics, whose functions need torch.
LIGHT_METRICS = ("metrics.registry", "metrics.about", *(f"metrics.{family}.about" for family in (*FAMILIES, AVERAGE)))
HEAVY = ("torch", "torchvision", "numpy", "scipy", "imageio", "lpips", "safetensors")
# Packages of HEAVY that a room may import nevertheless.
COMPUTING = {"comparison": ("numpy", "scipy")}
PLUGINS = ("nerfstudio", "nvs_eval_nerfstudio", "gsplat", "numba", "nvs_eval_splat")


# --- Rules, checked on the source code -------------------------------------------------------------------------------


def sources(package: Path) -> dict[str, ast.Module]:
    """Return the parsed modules of a package by their dotted names."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return modules


def imported(name: str, tree: ast.Module, modules: Mapping[str, ast.Module]) -> Iterator[str]:
    """Yield all imports of a module, including late ones and those for type checkers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import; use an absolute one"
            base = node.module or ""
            yield from (full if (full := f"{base}.{alias.name}") in modules else base for alias in node.names)


def import_graph(package: Path) -> dict[str, set[str]]:
    """Return the imports of each module, except the package itself, whose names load lazily."""
    modules = sources(package)
    return {name: set(imported(name, tree, modules)) for name, tree in modules.items() if name != package.name}


def reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """Return all modules that a module imports, directly or indirectly."""
    visited: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - visited
        visited |= new
        waiting += new
    return visited


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def members(graph: Mapping[str, set[str]], package: str, part: str) -> list[str]:
    return [module for module in graph if is_in(module, f"{package}.{part}")]


def room_of(module: str) -> str:
    """Return the room of a module, its first name within the package; "" for the package and `__main__`."""
    part = module.split(".")[1] if "." in module else ""
    return "" if part == "__main__" else part


def wrong_imports(package: Path) -> list[str]:
    """Return all imports that break a rule."""
    graph, name = import_graph(package), package.name
    level = {room: number for number, rooms in enumerate(LEVELS) for room in rooms}
    needs = {module: reached(graph, module) for module in graph}
    faults = [f"{module} needs itself" for module in graph if module in needs[module]]
    for module, direct in graph.items():
        room = room_of(module)
        if room and room not in level:
            faults.append(f"{module} is in no room")
            continue
        for needed in direct:
            target = room_of(needed) if is_in(needed, name) else ""
            if room and target and target != room and level.get(target, len(LEVELS)) >= level[room]:
                faults.append(f"{module} needs {needed}")
            if is_in(needed, name) and is_private(module, needed):
                faults.append(f"{module} needs {needed}, which is private to another package")
    light = (*LIGHT, *LIGHT_METRICS)
    forbidden = [(module, heavy) for part in light for module in members(graph, name, part) for heavy in HEAVY]
    forbidden += [
        (module, heavy)
        for part, needed in COMPUTING.items()
        for module in members(graph, name, part)
        for heavy in HEAVY
        if heavy not in needed
    ]
    forbidden += [(module, plugin) for module in graph for plugin in PLUGINS]
    return faults + [f"{low} needs {n}" for low, high in forbidden for n in sorted(needs[low]) if is_in(n, high)]


def is_private(module: str, needed: str) -> bool:
    """Return whether a needed module is private (underscore) to a package that does not contain `module`."""
    parts = needed.split(".")
    return any(
        part.startswith("_") and not part.startswith("__") and not is_in(module, ".".join(parts[:place]))
        for place, part in enumerate(parts)
    )


def init_definitions(package: Path) -> list[str]:
    """Return all statements of `__init__` files that are no docstrings or re-exports, except the package's own."""
    return [
        f"{path.relative_to(package)} defines {ast.unparse(node).splitlines()[0]}"
        for path in sorted(package.rglob("__init__.py"))
        if path.parent != package
        for node in ast.parse(path.read_text("utf-8")).body[1:]
        if not isinstance(node, ast.Import | ast.ImportFrom) and not ast.unparse(node).startswith("__all__")
    ]


def printing_calls(package: Path) -> list[str]:
    """Return all calls outside the command line that print or exit."""
    silent = [(n, t) for n, t in sources(package).items() if not is_in(n, f"{package.name}.cli")]
    functions = ("print", "exit", "quit", "input", "sys.exit", "os._exit", "SystemExit")
    streams = ("sys.stdout.write", "sys.stderr.write", "rich.print")
    return [
        f"{module}:{node.lineno} {ast.unparse(node.func)}"
        for module, tree in silent
        if module != f"{package.name}.__main__"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in functions + streams
    ]


def test_imports_point_one_way() -> None:
    assert wrong_imports(PACKAGE) == []


def test_only_the_command_line_prints_or_exits() -> None:
    assert printing_calls(PACKAGE) == []


def test_init_files_define_nothing() -> None:
    assert init_definitions(PACKAGE) == []


def test_the_rules_name_existing_modules() -> None:
    graph = import_graph(PACKAGE)
    parts = {room for rooms in LEVELS for room in rooms} | {*LIGHT, *LIGHT_METRICS, *COMPUTING}
    assert [part for part in parts if not members(graph, "nvs_eval", part)] == []
    assert "nvs_eval.evaluation.scorer" in graph["nvs_eval.evaluation.evaluate"]
    assert "torch" in reached(graph, "nvs_eval.evaluation.scorer")


PLUGIN_FOLDERS = [PACKAGE.parent / "plugins" / name for name in ("nvs_eval_nerfstudio", "nvs_eval_splat")]
# The demo's training is a separate program.
PROGRAMS = {"nvs_eval_nerfstudio.train_small"}


def test_every_plugin_is_checked() -> None:
    folders = {path.parent for path in (PACKAGE.parent / "plugins").glob("*/__init__.py")}
    assert folders == set(PLUGIN_FOLDERS)


@pytest.mark.parametrize("plugin", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_neither_prints_nor_has_import_cycles(plugin: Path) -> None:
    graph = import_graph(plugin)
    assert [module for module in graph if module in reached(graph, module)] == []
    printing = {call.partition(":")[0] for call in printing_calls(plugin)}
    assert printing == {program for program in PROGRAMS if is_in(program, plugin.name)}
    assert len(graph) > 2


@pytest.mark.parametrize("plugin", PLUGIN_FOLDERS, ids=lambda folder: folder.name)
def test_a_plugin_does_not_import_the_command_line(plugin: Path) -> None:
    modules = sources(plugin)
    needed = {name for module, tree in modules.items() for name in imported(module, tree, modules)}
    assert [name for name in needed if is_in(name, "nvs_eval.cli")] == []
    assert "nvs_eval.errors" in needed


def test_the_splat_plugin_does_not_import_the_nerfstudio_plugin() -> None:
    graph = import_graph(PACKAGE.parent / "plugins" / "nvs_eval_splat")
    needed = {name for names in graph.values() for name in names}
    assert [name for name in needed if is_in(name, "nvs_eval_nerfstudio") or is_in(name, "nerfstudio")] == []


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """Write a small package that obeys all rules."""
    files = {
        "__init__.py": "",
        "__main__.py": "import sys\nfrom made_up.cli import main\nsys.exit(main())",
        "errors.py": "",
        "images/__init__.py": '"""Pixels."""',
        "images/pixels.py": "import torch",
        "records.py": "from made_up.errors import InputError",
        "metrics/__init__.py": "",
        "metrics/_shapes.py": "",
        "metrics/psnr.py": "from made_up.metrics import _shapes",
        "metrics/registry.py": "",
        "sources.py": "from made_up.images.pixels import check",
        "report/__init__.py": "from made_up.report.table import Table as Table",
        "report/table.py": "from made_up.records import Record",
        "evaluation.py": "from made_up.metrics import psnr\nfrom made_up.sources import View",
        "comparison/__init__.py": "",
        "comparison/statistics.py": "import numpy\ndef late():\n    from scipy import stats",
        "cli/__init__.py": "from made_up.cli.main import main",
        "cli/main.py": "from made_up import evaluation, report\nprint('a table')\nraise SystemExit(0)",
    }
    for name, text in files.items():
        path = tmp_path / "made_up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "made_up"


def test_a_package_that_obeys_the_rules_has_no_faults(made_up: Path) -> None:
    assert wrong_imports(made_up) == []
    assert printing_calls(made_up) == []
    assert init_definitions(made_up) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("images/pixels.py", "from made_up.sources import View", "made_up.images.pixels needs made_up.sources"),
        ("images/pixels.py", "from made_up import records", "made_up.images.pixels needs made_up.records"),
        ("metrics/psnr.py", "from made_up import evaluation", "made_up.metrics.psnr needs made_up.evaluation"),
        ("sources.py", "def late():\n    from made_up.evaluation import a", "made_up.sources needs made_up.evaluation"),
        ("sources.py", "from made_up.report import Table", "made_up.sources needs made_up.report"),
        ("records.py", "from made_up.report import table", "made_up.records needs made_up.report.table"),
        ("evaluation.py", "from made_up.cli import main", "made_up.evaluation needs made_up.cli.main"),
        (
            "comparison/statistics.py",
            "import made_up.evaluation",
            "made_up.comparison.statistics needs made_up.evaluation",
        ),
        ("errors.py", "import made_up.images.pixels", "made_up.records needs torch"),
        ("records.py", "import torch.nn as nn", "made_up.records needs torch.nn"),
        ("metrics/registry.py", "def late():\n    import torch", "made_up.metrics.registry needs torch"),
        ("metrics/registry.py", "import numpy", "made_up.metrics.registry needs numpy"),
        ("report/table.py", "def late():\n    import numpy", "made_up.report.table needs numpy"),
        ("records.py", "def late():\n    import scipy.stats", "made_up.records needs scipy.stats"),
        ("comparison/statistics.py", "def late():\n    import torch", "made_up.comparison.statistics needs torch"),
        ("evaluation.py", "import nerfstudio.models", "made_up.evaluation needs nerfstudio.models"),
        ("cli/main.py", "def late():\n    import nvs_eval_nerfstudio", "made_up.cli.main needs nvs_eval_nerfstudio"),
        ("metrics/psnr.py", "import made_up.metrics.psnr", "made_up.metrics.psnr needs itself"),
        ("metrics/lpips.py", "from made_up.nowhere import a", "made_up.metrics.lpips needs made_up.nowhere"),
        ("corridor.py", "", "made_up.corridor is in no room"),
        (
            "evaluation.py",
            "from made_up.metrics._shapes import check",
            "made_up.evaluation needs made_up.metrics._shapes, which is private to another package",
        ),
    ],
)
def test_a_wrong_import_is_found(file: str, line: str, fault: str, made_up: Path) -> None:
    path = made_up / file
    path.write_text(f"{path.read_text() if path.exists() else ''}\n{line}\n")
    assert fault in wrong_imports(made_up)


def test_a_definition_in_an_init_file_is_found(made_up: Path) -> None:
    (made_up / "metrics" / "__init__.py").write_text('"""Metrics."""\ndef psnr() -> None: ...\n')
    assert init_definitions(made_up) == ["metrics/__init__.py defines def psnr() -> None:"]


@pytest.mark.parametrize(
    "line",
    ["print(1)", "def f():\n    sys.exit(1)", "raise SystemExit(2)", "sys.stderr.write('x')", "exit()", "os._exit(1)"],
)
def test_a_module_that_prints_or_exits_is_found(line: str, made_up: Path) -> None:
    (made_up / "metrics" / "psnr.py").write_text(line)
    assert len(printing_calls(made_up)) == 1


# --- Imports of a new interpreter ------------------------------------------------------------------------------------


def imported_by(code: str, *args: str, **environment: str) -> set[str]:
    """Return the packages that a new interpreter has imported after running some code."""
    report = (
        "\nimport sys; sys.stdout.flush(); print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code + report, *args],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return set(done.stdout.splitlines()[-1].split())


RUN = """
import sys
from nvs_eval.cli import main
try:
    code = main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
assert code == 0, code
"""


def test_importing_the_package_imports_nothing_heavy() -> None:
    packages = imported_by("import nvs_eval; nvs_eval.read_record, nvs_eval.InputError")
    assert "nvs_eval" in packages
    assert packages.isdisjoint({*HEAVY, *PLUGINS, "rich", "tyro"})


def test_help_imports_neither_torch_nor_nerfstudio() -> None:
    assert imported_by(RUN, "--help").isdisjoint({*HEAVY, *PLUGINS})


def test_a_table_imports_neither_torch_nor_nerfstudio(tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", record())
    packages = imported_by(RUN, "table", str(tmp_path), "--per-view")
    assert "rich" in packages
    assert packages.isdisjoint({*HEAVY, *PLUGINS})


@pytest.mark.parametrize("options", [*FORMATS, "csv --long", "json --long"])
def test_no_table_format_imports_anything_heavy(options: str, tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", record())
    packages = imported_by(RUN, "table", str(tmp_path / "record.json"), "--format", *options.split())
    assert packages.isdisjoint({*HEAVY, *PLUGINS, "pandas"})
    assert ("jinja2" in packages) == (options == "html")


def test_tensorboard_logging_imports_no_torch_or_nerfstudio(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write_record(tmp_path / "record.json", record())
    packages = imported_by(RUN, "table", str(tmp_path), "--log", "tensorboard")
    assert len(list(tmp_path.rglob("*tfevents*"))) == 1
    assert "tensorboard" in packages
    # tensorboard imports numpy.
    assert packages.isdisjoint({*HEAVY, *PLUGINS} - {"numpy"})


def test_an_export_imports_neither_torch_nor_nerfstudio(tmp_path: Path) -> None:
    write_record(tmp_path / "in" / "record.json", record())
    out = str(tmp_path / "out")
    packages = imported_by(RUN, "export", str(tmp_path / "in" / "record.json"), "--as", "ns-eval", "--output", out)
    assert (tmp_path / "out" / "output.json").is_file()
    assert packages.isdisjoint({*HEAVY, *PLUGINS})


def test_scoring_imports_no_sympy_lpips_or_models(tmp_path: Path) -> None:
    # Importing any of these takes as long as scoring several views. torch imports sympy for its symbolic shapes.
    write_pngs(tmp_path / "gt", {"a": 1})
    write_pngs(tmp_path / "renders", {"a": 2})
    options = ["--protocol", str(protocol_file(tmp_path)), "--output-dir", str(tmp_path / "out")]
    packages = imported_by(RUN, "score", str(tmp_path / "renders"), "--reference", str(tmp_path / "gt"), *options)
    assert "torch" in packages
    assert packages.isdisjoint({"sympy", "torchvision", "lpips", "scipy", "skimage", "OpenEXR", *PLUGINS})


def test_late_imports_are_seen(tmp_path: Path) -> None:
    for package in ("torch", "nerfstudio"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    packages = imported_by("def late():\n    import torch\n    import nerfstudio\nlate()", PYTHONPATH=str(tmp_path))
    assert {"torch", "nerfstudio"} <= packages


# --- Public names ----------------------------------------------------------------------------------------------------


def typed_names() -> dict[str, str]:
    """Return the module of each public name, as the block for type checkers states it."""
    tree = sources(PACKAGE)["nvs_eval"]
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    statements = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    others = [ast.unparse(node) for node in block.body if node not in statements]
    assert others == ["__version__: str"]
    names = {(alias.asname, alias.name): node.module or "" for node in statements for alias in node.names}
    assert all(asname == name for asname, name in names), (
        "type checkers take a name as public only if it is written `import x as x`"
    )
    return {name: module for (_, name), module in names.items()}


def test_type_checkers_see_the_public_names() -> None:
    assert typed_names() == nvs_eval._HOMES
    assert sorted(nvs_eval.__all__) == sorted([*nvs_eval._HOMES, "__version__"])
    assert set(nvs_eval.__all__) <= set(dir(nvs_eval))


@pytest.mark.parametrize("name", sorted(nvs_eval._HOMES))
def test_each_public_name_loads_from_its_module(name: str) -> None:
    value = getattr(nvs_eval, name)
    home = importlib.import_module(nvs_eval._HOMES[name])
    assert value is getattr(home, name)
    assert value.__module__ == home.__name__, "a public name must be listed with the module that defines it"
    assert value.__doc__


def test_no_public_name_is_hidden_by_a_module() -> None:
    assert {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}.isdisjoint(nvs_eval.__all__)


def test_all_public_names_can_be_imported_at_once() -> None:
    names: dict[str, object] = {}
    exec("from nvs_eval import *", names)
    assert set(nvs_eval.__all__) <= set(names)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nvs_eval' has no attribute 'psnrr'"):
        _ = nvs_eval.psnrr
