"""The check of the shapes in annotations, and what several test files need."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

# One thread in each worker, and in the processes that tests start: torch reads this when it is imported. Images here
# are so small that a second thread costs more than it brings. Tests of threads set their number themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import support.shapes  # noqa: F401  The hook names it, and does not import it.
from jaxtyping import config, install_import_hook

# Before any of them is imported: from here on each call of these modules checks what its annotations promise. (Views
# are left out: they check their own images, with messages that tests read; and files of masks, which take any source.)
install_import_hook(
    [
        "nvs_eval.metrics.colour_correction",
        "nvs_eval.images.files",
        "nvs_eval.images.pixels",
        "nvs_eval.metrics.pair",
        "nvs_eval.metrics.lpips.metric",
        "nvs_eval.metrics.psnr",
        "nvs_eval.metrics.ssim.metric",
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
"""Files whose tests take longest, and all of nerfstudio's: of those with many short tests, xdist begins the longest."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep a file's tests in one worker of pytest-xdist, for the fixtures they share, and nerfstudio's files in one.

    What takes longest begins first, so that the workers end at about the same time.
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
    """Switches the check of the shapes off, to see what a user is told, who has no such check."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of known answers and weights beside the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"the known answers are not at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def weights_folder() -> Callable[[Net], Path | None]:
    """Where the true backbone of a net is without a download, as `weights_dir` takes it; else the test is skipped."""

    @cache
    def find(net: Net) -> Path | None:
        if find_backbone(net).verified:
            return None
        folder = SHARED / "weights"
        if folder.is_dir() and find_backbone(net, directory=folder).verified:
            return folder
        pytest.skip(f"the true LPIPS weights of {net} are not on this machine: {find_backbone(net).reason}")

    return find


@pytest.fixture(scope="session")
def lpips_of(weights_folder: Callable[[Net], Path | None]) -> Callable[..., Lpips]:
    """`load_lpips` of a net that is here, read once."""

    @cache
    def load(net: Net, **choices: str) -> Lpips:
        make: Callable[..., Lpips] = load_lpips
        return make(net, weights_dir=weights_folder(net), **choices)

    return load


@pytest.fixture
def weights_in_place(
    weights_folder: Callable[[Net], Path | None], monkeypatch: pytest.MonkeyPatch
) -> Callable[[Net], None]:
    """Lets what is run find the true backbone of a net by itself; else the test is skipped."""

    def place(net: Net) -> None:
        if folder := weights_folder(net):
            monkeypatch.setenv("NVS_EVAL_WEIGHTS", str(folder))

    return place


# The command line, run in this process.


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to run commands in, with a scene in it and a protocol that needs no weights."""
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
    """Runs a command."""
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
    """Runs what must be refused before anything is written; gives the one message."""

    def run(*args: str) -> str:
        said = cli(*args)
        assert said.code == 2
        assert said.out == ""
        assert "Traceback" not in said.err
        assert said.err.startswith("Error: ")
        assert not Path("nvs-eval-results").exists()
        return said.err.removeprefix("Error: ").rstrip("\n")

    return run


@pytest.fixture
def opener(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """In the place of the plugin, with two checkpoints."""
    from nvs_eval.sources import checkpoints

    opener = Opener([], [FakeCheckpoint(500), FakeCheckpoint(2500)], {})
    monkeypatch.setattr(checkpoints, "find_opener", lambda name: opener)
    return opener


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-words", action="store_true", help="pin what the commands say now (tests/support/pinned.py)"
    )


@pytest.fixture
def pinned(request: pytest.FixtureRequest, tmp_path: Path) -> Pinned:
    """Compares a text with the one pinned for this test: `pinned("score", said.err)`."""
    return Pinned(request.node.name, tmp_path, update=request.config.getoption("--update-words"))
