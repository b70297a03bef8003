"""Which way imports may point, what is not imported before it is needed, and who may print: each rule can be broken."""

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
from helpers import protocol_file, record, write_pngs

import nvs_eval
from nvs_eval.records import write_record
from nvs_eval.report.writers import FORMATS

PACKAGE = Path(nvs_eval.__file__).parent

# What stands earlier in a chain never needs what stands later, not even by way of a third.
CHAINS = (
    ("images", "views", "metrics", "protocols", "scorer", "evaluate", "cli"),
    ("metrics", "_protocol_fields", "protocols", "prepare", "_shared_work", "scorer", "_rows", "evaluate"),
    ("metrics", "colour", "prepare"),
    ("views", "mask_files", "sources"),
    ("image_files", "protocols"),
    ("image_files", "mask_files"),
    ("weights", "metrics"),
    ("sources", "kept", "rendering", "cli"),
    ("evaluate", "terms", "scoring", "api", "cli"),
    ("rendering", "terms", "running", "api", "cli"),
    ("report", "tabling", "api", "cli"),
    ("records", "sinks", "cli"),
    ("records", "statistics", "report", "cli"),
    ("_record_format", "records", "guard", "record_files", "cli"),
    ("records", "guard", "report", "comparison", "cli"),
    ("records", "contenders", "report"),
    ("statistics", "comparison"),
    ("records", "evaluate"),
)
# What a table is made of starts at once: it needs nothing of these.
LIGHT = (
    "_record_format",
    "records",
    "record_files",
    "sinks",
    "frames",
    "guard",
    "contenders",
    "suites",
    "published",
    "_plain_yaml",
    "report",
    "errors",
    "whole_files",
    "configs",
)
HEAVY = ("torch", "torchvision", "numpy", "scipy", "imageio", "lpips", "safetensors")
# A comparison takes its time to import what it computes with, and nothing else of these.
COMPUTING = {"statistics": ("numpy", "scipy"), "comparison": ("numpy", "scipy")}
PLUGINS = ("nerfstudio", "nvs_eval_nerfstudio")


# --- The rules, read from the source --------------------------------------------------------------------------------


def sources(package: Path) -> dict[str, ast.Module]:
    """The modules of a package by their dotted names, parsed."""
    modules = {}
    for path in sorted(package.rglob("*.py")):
        parts = [package.name, *path.relative_to(package).with_suffix("").parts]
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text("utf-8"))
    return modules


def imported(name: str, tree: ast.Module, modules: Mapping[str, ast.Module]) -> Iterator[str]:
    """What a module imports, anywhere in it: late, and for the type checker only, too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively: say where from"
            base = node.module or ""
            yield from (each if (each := f"{base}.{alias.name}") in modules else base for alias in node.names)


def import_graph(package: Path) -> dict[str, set[str]]:
    """What each module imports. The package itself says where its lazy names live, and needs none of them."""
    modules = sources(package)
    return {name: set(imported(name, tree, modules)) for name, tree in modules.items() if name != package.name}


def reached(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """All that a module needs, by way of whatever."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def members(graph: Mapping[str, set[str]], package: str, part: str) -> list[str]:
    return [module for module in graph if is_in(module, f"{package}.{part}")]


def wrong_ways(package: Path) -> list[str]:
    """Every import that points the wrong way."""
    graph, name = import_graph(package), package.name
    needs = {module: reached(graph, module) for module in graph}
    found = [f"{module} needs itself" for module in graph if module in needs[module]]
    forbidden = [
        (module, f"{name}.{high}")
        for chain in CHAINS
        for index, low in enumerate(chain)
        for module in members(graph, name, low)
        for high in chain[index + 1 :]
    ]
    forbidden += [(module, heavy) for part in LIGHT for module in members(graph, name, part) for heavy in HEAVY]
    forbidden += [
        (module, heavy)
        for part, needed in COMPUTING.items()
        for module in members(graph, name, part)
        for heavy in HEAVY
        if heavy not in needed
    ]
    forbidden += [(module, plugin) for module in graph for plugin in PLUGINS]
    entrances = [*members(graph, name, "cli"), f"{name}.__main__"]
    forbidden += [(module, f"{name}.cli") for module in graph if module not in entrances]
    return found + [f"{low} needs {n}" for low, high in forbidden for n in sorted(needs[low]) if is_in(n, high)]


def speakers(package: Path) -> list[str]:
    """Every place outside the command line that prints or ends the process."""
    quiet = [(n, t) for n, t in sources(package).items() if not is_in(n, f"{package.name}.cli")]
    spoken = ("print", "exit", "quit", "input", "sys.exit", "os._exit", "SystemExit")
    streams = ("sys.stdout.write", "sys.stderr.write", "rich.print")
    return [
        f"{module}:{node.lineno} {ast.unparse(node.func)}"
        for module, tree in quiet
        if module != f"{package.name}.__main__"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in spoken + streams
    ]


def test_imports_point_one_way() -> None:
    assert wrong_ways(PACKAGE) == []


def test_only_the_command_line_prints_or_exits() -> None:
    assert speakers(PACKAGE) == []


def test_the_rules_are_about_modules_that_are_there() -> None:
    graph = import_graph(PACKAGE)
    parts = {part for chain in CHAINS for part in chain} | {*LIGHT, *COMPUTING}
    assert [part for part in parts if not members(graph, "nvs_eval", part)] == []
    assert "nvs_eval.scorer" in graph["nvs_eval.evaluate"]
    assert "torch" in reached(graph, "nvs_eval.scorer")


def test_the_plugin_builds_on_the_package_and_not_on_its_command_line() -> None:
    modules = sources(PACKAGE.parent / "plugins" / "nvs_eval_nerfstudio")
    needed = {name for module, tree in modules.items() for name in imported(module, tree, modules)}
    assert [name for name in needed if is_in(name, "nvs_eval.cli")] == []
    assert "nvs_eval.views" in needed


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A small package in which all is well."""
    files = {
        "__init__.py": "",
        "__main__.py": "import sys\nfrom made_up.cli import main\nsys.exit(main())",
        "errors.py": "",
        "images.py": "import torch",
        "views.py": "from made_up.images import check",
        "metrics/__init__.py": "",
        "metrics/psnr.py": "from made_up.views import View",
        "prepare.py": "from made_up.metrics import psnr",
        "scorer.py": "from made_up.metrics import psnr\nfrom made_up.prepare import prepare",
        "records.py": "from made_up.errors import InputError",
        "statistics/__init__.py": "import numpy\ndef late():\n    from scipy import stats",
        "report/__init__.py": "from made_up.records import Record",
        "cli/__init__.py": "from made_up import scorer, report\nprint('a table')\nraise SystemExit(0)",
    }
    for name, text in files.items():
        path = tmp_path / "made_up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "made_up"


def test_a_package_that_keeps_the_rules_breaks_none(made_up: Path) -> None:
    assert wrong_ways(made_up) == []
    assert speakers(made_up) == []


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("images.py", "from made_up.views import View", "made_up.images needs made_up.views"),
        ("images.py", "import made_up.scorer", "made_up.images needs made_up.metrics.psnr"),
        ("metrics/psnr.py", "from made_up import scorer", "made_up.metrics.psnr needs made_up.scorer"),
        ("views.py", "def late():\n    from made_up.scorer import Scorer", "made_up.views needs made_up.scorer"),
        ("metrics/psnr.py", "from made_up.prepare import a", "made_up.metrics.psnr needs made_up.prepare"),
        ("prepare.py", "from made_up.scorer import Scorer", "made_up.prepare needs made_up.scorer"),
        ("errors.py", "import made_up.images", "made_up.records needs torch"),
        ("records.py", "import torch.nn as nn", "made_up.records needs torch.nn"),
        ("report/__init__.py", "def late():\n    import numpy", "made_up.report needs numpy"),
        ("report/__init__.py", "from made_up import statistics", "made_up.report needs numpy"),
        ("records.py", "def late():\n    import scipy.stats", "made_up.records needs scipy.stats"),
        ("statistics/__init__.py", "def late():\n    import torch", "made_up.statistics needs torch"),
        ("statistics/__init__.py", "import made_up.report", "made_up.statistics needs made_up.report"),
        ("records.py", "from made_up.report import table", "made_up.records needs made_up.report"),
        ("scorer.py", "from made_up.cli import main", "made_up.scorer needs made_up.cli"),
        ("scorer.py", "import nerfstudio.models", "made_up.scorer needs nerfstudio.models"),
        ("cli/__init__.py", "def late():\n    import nvs_eval_nerfstudio", "made_up.cli needs nvs_eval_nerfstudio"),
        ("metrics/psnr.py", "import made_up.metrics.psnr", "made_up.metrics.psnr needs itself"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(file: str, line: str, said: str, made_up: Path) -> None:
    path = made_up / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    assert said in wrong_ways(made_up)


@pytest.mark.parametrize(
    "line",
    ["print(1)", "def f():\n    sys.exit(1)", "raise SystemExit(2)", "sys.stderr.write('x')", "exit()", "os._exit(1)"],
)
def test_a_module_that_prints_or_exits_is_found(line: str, made_up: Path) -> None:
    (made_up / "metrics" / "psnr.py").write_text(line)
    assert len(speakers(made_up)) == 1


# --- What a fresh interpreter imports -------------------------------------------------------------------------------


def imported_by(code: str, *args: str, **environment: str) -> set[str]:
    """The packages that a fresh interpreter has imported after running some code."""
    tell = "\nimport sys; sys.stdout.flush(); print('\\n' + ' '.join({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", code + tell, *args],
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
    found = imported_by("import nvs_eval; nvs_eval.read_record, nvs_eval.InputError")
    assert "nvs_eval" in found
    assert found.isdisjoint({*HEAVY, *PLUGINS, "rich", "tyro"})


def test_help_imports_neither_torch_nor_nerfstudio() -> None:
    assert imported_by(RUN, "--help").isdisjoint({*HEAVY, *PLUGINS})


def test_a_table_needs_neither_torch_nor_nerfstudio(tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", record())
    found = imported_by(RUN, "table", str(tmp_path), "--per-view")
    assert "rich" in found
    assert found.isdisjoint({*HEAVY, *PLUGINS})


@pytest.mark.parametrize("options", [*FORMATS, "csv --long", "json --long"])
def test_no_format_of_a_table_needs_anything_heavy(options: str, tmp_path: Path) -> None:
    write_record(tmp_path / "record.json", record())
    found = imported_by(RUN, "table", str(tmp_path / "record.json"), "--format", *options.split())
    assert found.isdisjoint({*HEAVY, *PLUGINS, "pandas"})
    assert ("jinja2" in found) == (options == "html")


def test_logging_to_tensorboard_needs_neither_torch_nor_nerfstudio(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    write_record(tmp_path / "record.json", record())
    found = imported_by(RUN, "table", str(tmp_path), "--log", "tensorboard")
    assert len(list(tmp_path.rglob("*tfevents*"))) == 1
    assert "tensorboard" in found
    # numpy comes with tensorboard.
    assert found.isdisjoint({*HEAVY, *PLUGINS} - {"numpy"})


def test_an_export_needs_neither_torch_nor_nerfstudio(tmp_path: Path) -> None:
    write_record(tmp_path / "in" / "record.json", record())
    out = str(tmp_path / "out")
    found = imported_by(RUN, "export", str(tmp_path / "in" / "record.json"), "--as", "ns-eval", "--output", out)
    assert (tmp_path / "out" / "output.json").is_file()
    assert found.isdisjoint({*HEAVY, *PLUGINS})


def test_scoring_needs_no_symbolic_algebra_no_other_lpips_and_no_models(tmp_path: Path) -> None:
    # Each of them takes as long to import as some views to score; torch itself has the first of them for shapes.
    write_pngs(tmp_path / "gt", {"a": 1})
    write_pngs(tmp_path / "renders", {"a": 2})
    options = ["--protocol", str(protocol_file(tmp_path)), "--output-dir", str(tmp_path / "out")]
    found = imported_by(RUN, "score", str(tmp_path / "renders"), "--reference", str(tmp_path / "gt"), *options)
    assert "torch" in found
    assert found.isdisjoint({"sympy", "torchvision", "lpips", "scipy", "skimage", "OpenEXR", *PLUGINS})


def test_what_a_fresh_interpreter_imports_is_seen(tmp_path: Path) -> None:
    for package in ("torch", "nerfstudio"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    found = imported_by("def late():\n    import torch\n    import nerfstudio\nlate()", PYTHONPATH=str(tmp_path))
    assert {"torch", "nerfstudio"} <= found


# --- The public names -----------------------------------------------------------------------------------------------


def typed_names() -> dict[str, str]:
    """Where the block for type checkers says that each public name lives."""
    tree = sources(PACKAGE)["nvs_eval"]
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    statements = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    others = [ast.unparse(node) for node in block.body if node not in statements]
    assert others == ["__version__: str"]
    names = {(alias.asname, alias.name): node.module or "" for node in statements for alias in node.names}
    assert all(asname == name for asname, name in names), "only `import x as x` makes a name public to a checker"
    return {name: module for (_, name), module in names.items()}


def test_public_names_are_the_same_to_the_interpreter_and_to_type_checkers() -> None:
    assert typed_names() == nvs_eval._HOMES
    assert nvs_eval.__all__ == sorted([*nvs_eval._HOMES, "__version__"])
    assert set(nvs_eval.__all__) <= set(dir(nvs_eval))


@pytest.mark.parametrize("name", sorted(nvs_eval._HOMES))
def test_each_public_name_loads_from_its_home(name: str) -> None:
    value = getattr(nvs_eval, name)
    home = importlib.import_module(nvs_eval._HOMES[name])
    assert value is getattr(home, name)
    assert value.__module__ == home.__name__, "a name is public where it is defined"
    assert value.__doc__


def test_no_public_name_is_hidden_by_a_module() -> None:
    assert {module.name for module in pkgutil.iter_modules([str(PACKAGE)])}.isdisjoint(nvs_eval.__all__)


def test_all_public_names_can_be_imported_at_once() -> None:
    names: dict[str, object] = {}
    exec("from nvs_eval import *", names)
    assert set(nvs_eval.__all__) <= set(names)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'nvs_eval' has no attribute 'psnrr'"):
        _ = nvs_eval.psnrr  # pyright: ignore[reportAttributeAccessIssue]
