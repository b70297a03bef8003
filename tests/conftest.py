"""Shape checks of annotations, the order of test files, and fixtures that several test files share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# One thread per worker and per process that a test starts, because test images are small. torch reads this variable
# when it is imported. Tests of threads set their own number.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests replace what would be remembered.
os.environ["NVS_EVAL_CACHE"] = ""

import support.shapes  # noqa: F401  The hook refers to it by name without importing it.
from jaxtyping import config, install_import_hook

# Must run before these modules are imported: every call then checks the shapes in their annotations. Views and mask
# files are not listed, because they check their own input and tests read their messages.
install_import_hook(
    [
        "nvs_eval.metrics.colour_correction",
        "nvs_eval.images.files",
        "nvs_eval.images.pixels",
        "nvs_eval.metrics.pair",
        "nvs_eval.metrics.dists.metric",
        "nvs_eval.metrics.flip.metric",
        "nvs_eval.metrics.lpips.metric",
        "nvs_eval.metrics.mae.metric",
        "nvs_eval.metrics.ms_ssim.metric",
        "nvs_eval.metrics.psnr.metric",
        "nvs_eval.metrics.ssim.metric",
        "nvs_eval.metrics.ssim.windowed",
    ],
    "support.shapes.check",
)

import pytest  # noqa: E402
from support.checkpoints import FakeCheckpoint, Opener  # noqa: E402
from support.commands import Said  # noqa: E402
from support.pinned import Pinned  # noqa: E402
from support.protocols import protocol_file  # noqa: E402
from support.scenes import fill  # noqa: E402

from nvs_eval.metrics.lpips.metric import Lpips, load_lpips  # noqa: E402
from nvs_eval.metrics.weights.backbones import find_backbone  # noqa: E402
from nvs_eval.metrics.weights.pins import Net  # noqa: E402

LONGEST = (
    "nerfstudio",
    "tests/protocols/test_protocol_agreement.py",
    "tests/metrics/test_lpips_streaming.py",
    "tests/metrics/test_lpips_plan.py",
    "tests/metrics/test_lpips_precision.py",
    "tests/product/test_golden.py",
    "tests/report/test_loggers.py",
    "tests/product/test_demo.py",
    "tests/product/test_packaging.py",
    "tests/metrics/test_ssim_triton.py",
    "tests/cli/test_process.py",
)
"""The slowest test files. By itself, xdist would start with the files of most tests."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file in one xdist worker, since they share fixtures, and all nerfstudio tests in one.

    The slowest files start first, so that all workers finish at about the same time.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _assign_work_unit(self, node: Any) -> None:
            for scope in reversed(LONGEST):
                if scope in self.workqueue:
                    self.workqueue.move_to_end(scope, last=False)
            super()._assign_work_unit(node)

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "nerfstudio" if "/nerfstudio/" in file else file

    return ByFile(config, log)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Disable the shape checks, which users do not have, to test the messages that they see."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder beside the repository with golden results and weights."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} does not exist")
    return SHARED


@pytest.fixture(scope="session")
def weights_folder() -> Callable[[Net], Path | None]:
    """Return the `weights_dir` that finds a net's pretrained backbone without a download, or skip the test."""

    @cache
    def find(net: Net) -> Path | None:
        if find_backbone(net).verified:
            return None
        folder = SHARED / "weights"
        if folder.is_dir() and find_backbone(net, directory=folder).verified:
            return folder
        pytest.skip(f"the pretrained weights of {net} are not on this machine: {find_backbone(net).reason}")

    return find


@pytest.fixture(scope="session")
def lpips_of(weights_folder: Callable[[Net], Path | None]) -> Callable[..., Lpips]:
    """Call `load_lpips` with pretrained weights, cached for the session; skip the test if there are none."""

    @cache
    def load(net: Net, **options: str) -> Lpips:
        make: Callable[..., Lpips] = load_lpips
        return make(net, weights_dir=weights_folder(net), **options)

    return load


@pytest.fixture
def weights_in_place(
    weights_folder: Callable[[Net], Path | None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Net], None]:
    """Set `NVS_EVAL_WEIGHTS` so that commands find the pretrained backbone of a net, or skip the test."""

    def place(net: Net) -> None:
        if folder := weights_folder(net):
            monkeypatch.setenv("NVS_EVAL_WEIGHTS", str(folder))

    return place


# --- The command line, run in this process ---


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary working directory with a scene (`garden`) and a protocol that needs no weights."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/usr/bin/nvs-eval", "as", "given"])
    for name in ("FORCE_COLOR", "NO_COLOR", "COLUMNS", "NVS_EVAL_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    fill(Path("garden/gt"), [102, 51])
    fill(Path("garden/ours"), [153, 51])
    fill(Path("garden/theirs"), [132, 81])
    protocol_file(tmp_path)
    return tmp_path


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run a command and return its exit code and output."""
    from nvs_eval.cli import main

    def run(*args: str) -> Said:
        capsys.readouterr()
        try:
            code = main(args)
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run


@pytest.fixture
def refused(cli: Callable[..., Said]) -> Callable[..., str]:
    """Run a command that must fail before it writes anything, and return its error message."""

    def run(*args: str) -> str:
        result = cli(*args)
        assert result.code == 2
        assert result.out == ""
        assert "Traceback" not in result.err
        assert result.err.startswith("Error: ")
        assert not Path("nvs-eval-results").exists()
        return result.err.removeprefix("Error: ").rstrip("\n")

    return run


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Replace the nerfstudio plugin by a fake with two checkpoints."""
    from nvs_eval.sources import checkpoints

    opener = Opener([], [FakeCheckpoint(500), FakeCheckpoint(2500)], {})
    monkeypatch.setattr(checkpoints, "find_trainer", lambda path: SimpleNamespace(open_run=opener))
    return opener


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-words", action="store_true", help="write the current output of commands (tests/support/pinned.py)"
    )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many points of commands were hit by faults (tests/faults/test_points.py)."""
    title = "fault points of "
    counts = {
        name.removeprefix(title): value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name.startswith(title)
    }
    totals = [sum(column) for column in zip(*counts.values(), strict=True)]
    for name, (points, hit, faults, survived) in [*counts.items(), *([("all commands", totals)] if totals else [])]:
        terminalreporter.write_line(f"{name}: {hit} of {points} points hit, {survived} of {faults} faults survived")


@pytest.fixture
def pinned(request: pytest.FixtureRequest, tmp_path: Path) -> Pinned:
    """Compare a text with the one pinned for this test: `pinned("score", result.err)`."""
    file = request.path.relative_to(Path(__file__).parent).with_suffix("").as_posix()
    return Pinned(f"{file}.{request.node.name}", tmp_path, update=bool(request.config.getoption("--update-words")))
