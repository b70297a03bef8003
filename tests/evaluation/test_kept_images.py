"""Images of records, read for pictures of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.checkpoints import FakeCheckpoint, Opener
from support.commands import Said
from support.protocols import LIGHT, protocol_file
from support.scenes import image, write_garden, write_pngs

from nvs_eval.errors import InputError
from nvs_eval.evaluation.kept_images import KeptImages
from nvs_eval.evaluation.kept_renders import Result
from nvs_eval.images.files import load_image
from nvs_eval.records.files import read_record_files


@pytest.fixture
def scored(here: Path, cli: Callable[..., Said]) -> KeptImages:
    """Images of the method `ours`, scored from folders."""
    write_garden(here / "garden")
    protocol = protocol_file(here, LIGHT, "light.yaml")
    assert cli("score", "garden/ours", "--reference", "garden/gt", "--protocol", str(protocol)).code == 0
    return kept("nvs-eval-results")


def kept(folder: str) -> KeptImages:
    ((file, record),) = read_record_files([folder])
    return KeptImages(Result(file, record))


def test_the_images_are_those_that_were_scored(scored: KeptImages) -> None:
    for row in scored.result.record.views:
        assert torch.equal(scored.reference(row), load_image(Path(f"garden/gt/{row.name}.png")))
        assert torch.equal(scored.render(row), load_image(Path(f"garden/ours/{row.name}.png")))


@pytest.mark.parametrize("changed", ["ours", "gt"])
def test_changed_images_are_refused(changed: str, scored: KeptImages) -> None:
    row = scored.result.record.views[0]
    write_pngs(Path("garden", changed), {row.name: 99})
    with pytest.raises(InputError, match=r"have changed since|has changed since"):
        (scored.render if changed == "ours" else scored.reference)(row)


def test_an_image_of_another_size_is_refused(scored: KeptImages, monkeypatch: pytest.MonkeyPatch) -> None:
    row = scored.result.record.views[0]
    monkeypatch.setattr(Result, "check_renders", lambda *_: None)
    monkeypatch.setattr("nvs_eval.evaluation.kept_images.load_image", lambda *_: image(0, 8, 9))
    with pytest.raises(InputError, match=r"must be 48x40 pixels, .* Got 9x8"):
        scored.render(row)


def test_a_changed_render_of_a_checkpoint_costs_only_its_view(
    here: Path, cli: Callable[..., Said], opener: Opener
) -> None:
    protocol = protocol_file(here, LIGHT, "light.yaml")
    opener.given[:] = [FakeCheckpoint(5)]
    assert cli("run", "--load-config", "config.yml", "--protocol", str(protocol), "--output-dir", "out").code == 0
    images = kept("out")
    first, second, *_ = images.result.record.views
    path = images.result.file.parent / str(first.render)
    write_pngs(path.parent, {path.stem: 99})
    with pytest.raises(InputError, match="has changed since"):
        images.render(first)
    assert images.render(second).shape == (second.height, second.width, 3)
