"""The check of the shapes in annotations, and what several test files need."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from jaxtyping import config, install_import_hook

# Before any of them is imported: from here on each call of these modules checks what its annotations promise. (Views
# are left out: they check their own images, with messages that tests read; and files of masks, which take any source.)
install_import_hook(
    [
        "nvs_eval.colour",
        "nvs_eval.image_files",
        "nvs_eval.images",
        "nvs_eval.metrics._networks",
        "nvs_eval.metrics._shapes",
        "nvs_eval.metrics.lpips",
        "nvs_eval.metrics.psnr",
        "nvs_eval.metrics.ssim",
    ],
    "shapes.check",
)

import pytest  # noqa: E402

from nvs_eval.metrics.lpips import Lpips, load_lpips  # noqa: E402
from nvs_eval.weights import Net, find_backbone  # noqa: E402

SHARED = Path(__file__).resolve().parents[2] / "shared"


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
