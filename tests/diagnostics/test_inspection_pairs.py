"""Findings on pairs: wrong pairs, mirrored or turned renders and swapped channels are found, good pairs are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.inspecting import scored, texts
from support.pinned import Pinned
from support.scenes import bitmap, float_image
from torch import Tensor

from nvs_eval.diagnostics.inspection import pairs as pairs_module
from nvs_eval.diagnostics.inspection.pairs import Pair, pair_findings, thumbnail
from nvs_eval.diagnostics.inspection.record import inspect_record
from nvs_eval.images.files import load_image
from nvs_eval.images.pixels import sha256_of_image
from nvs_eval.records.record import write_record

Change = Callable[[Tensor], Tensor]


def noisy(image: Tensor, seed: int, level: float) -> Tensor:
    return image + level * torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))


def found(references: list[Tensor], renders: list[Tensor]) -> list[str]:
    pairs = [
        Pair(f"{index:04d}", thumbnail(reference), thumbnail(render), reference.shape[0] == reference.shape[1])
        for index, (reference, render) in enumerate(zip(references, renders, strict=True))
    ]
    return [finding.text for finding in pair_findings(pairs)]


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Tensor]:
    """Return neighbouring photographs of a real scene, which show nearly the same."""
    return [load_image(file) for file in sorted((shared / "scenes/fox_8/images").glob("*.png"))]


@pytest.mark.parametrize("level", [0.0, 0.05, 0.3])
def test_good_pairs_have_no_finding(level: float) -> None:
    references = [float_image(seed, 60, 48) for seed in range(6)]
    assert found(references, [noisy(image, index, level) for index, image in enumerate(references)]) == []


@pytest.mark.parametrize("level", [0.0, 0.05, 0.2])
def test_photographs_and_their_renders_have_no_finding(level: float, photos: list[Tensor]) -> None:
    references = photos
    assert found(references, [noisy(image, index, level) for index, image in enumerate(references)]) == []
    # A wrong exposure or white balance is an error of the method.
    tinted = [image * torch.tensor([0.8, 0.9, 1.1]) for image in references]
    assert found(references, tinted) == []


@pytest.mark.parametrize("offset", [1, -1, 2])
def test_shifted_renders(offset: int, photos: list[Tensor], pinned: Pinned) -> None:
    references = photos
    renders = [references[min(max(index + offset, 0), len(references) - 1)] for index in range(len(references))]
    (text,) = found(references, [noisy(image, index, 0.05) for index, image in enumerate(renders)])
    pinned("inspect", text)


def test_three_shifted_renders() -> None:
    references = [float_image(seed) for seed in range(4)]
    (text,) = found(references[:3], references[1:])
    assert "shifted by 1: 2 of 3 renders are closer to the reference after it" in text


def test_two_swapped_renders(pinned: Pinned) -> None:
    references = [float_image(seed) for seed in range(5)]
    (text,) = found(references, [references[place] for place in (0, 3, 2, 1, 4)])
    pinned("inspect", text)
    (text,) = found(references[:2], [references[1], references[0]])
    assert "the render of 0000 shows 0001, the render of 0001 shows 0000" in text


FAULTS: dict[str, Change] = {
    "mirrored left to right": lambda image: image.flip(1),
    "upside down": lambda image: image.flip(0),
    "turned by 180 degrees": lambda image: image.flip(0, 1),
    "stored with red and blue swapped": lambda image: image.flip(2),
    # torch turns from the first to the second dimension, here rows to columns: to the left.
    "turned by 90 degrees to the left": lambda image: torch.rot90(image, 1, (0, 1)),
    "turned by 90 degrees to the right": lambda image: torch.rot90(image, -1, (0, 1)),
    "transposed": lambda image: image.transpose(0, 1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_changed_renders(fault: str) -> None:
    references = [float_image(seed, 48, 48) for seed in range(4)]
    renders = [noisy(FAULTS[fault](image), seed, 0.05) for seed, image in enumerate(references)]
    (text,) = found(references, renders)
    assert text == f"The renders seem to be {fault}: all 4 renders are closer to the reference once this is undone."
    # One of four is not a fault of the method's code.
    assert found(references, [renders[0], *references[1:]]) == []


@pytest.mark.parametrize("fault", list(FAULTS)[:4])
def test_changed_renders_of_photographs(fault: str, photos: list[Tensor]) -> None:
    references = photos
    (text,) = found(references, [noisy(FAULTS[fault](image), seed, 0.1) for seed, image in enumerate(references)])
    assert fault in text


def test_inspection_of_a_record_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    monkeypatch.chdir(tmp_path)
    result = scored({"a": 1, "b": 2, "c": 3})
    write_record(Path("record.json"), result)
    assert texts(inspect_record(Path("record.json"))) == []
    for name, seed in (("a", 2), ("b", 3), ("c", 9)):
        bitmap(seed).save(f"ours/{name}.png")
        bitmap(seed - 1).save(f"gt/{name}.png")
    rows = [
        replace(row, reference_sha256=sha256_of_image(load_image(Path(row.reference or "")))) for row in result.views
    ]
    write_record(Path("record.json"), replace(result, views=rows))
    (text,) = texts(inspect_record(Path("record.json")), doubtful=True)
    pinned("inspect", text)


def test_jpeg_and_damaged_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: Pinned) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(Path("record.json"), scored())
    bitmap(1).save("ours/a.png", format="JPEG", quality=99, subsampling=0)
    Path("ours/b.png").write_bytes(b"no image")
    pinned("inspect", "\n".join(texts(inspect_record(Path("record.json")))))


@pytest.mark.parametrize("most", [0, 10**9])
def test_the_best_reference_is_that_of_all(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(pairs_module, "_MOST_CANDIDATES", most)
    monkeypatch.setattr(pairs_module, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(pairs_module, "_COLUMNS_AT_ONCE", 4)
    generator = torch.Generator().manual_seed(0)
    references = torch.rand(23, 3, 1, 1, generator=generator) + 0.2 * torch.rand(23, 3, 32, 32, generator=generator)
    order = torch.randperm(23, generator=generator).tolist()
    renders = references[order] + 0.05 * torch.rand(23, 3, 32, 32, generator=generator)
    pairs = [Pair(f"{i:02}", references[i], renders[i], square=True) for i in range(23)]
    best, gains = pairs_module._best_references(pairs)
    errors = (renders[:, None] - references[None]).double().square().mean((2, 3, 4)) + 1e-9
    assert best == errors.argmin(1).tolist() == order
    assert gains == pytest.approx((errors.diagonal() / errors.amin(1)).tolist(), rel=1e-9)
