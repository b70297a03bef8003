"""Views are copied to the scoring device in order and one ahead; errors are raised in their place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from support.protocols import LIGHT, protocol_of

from nvs_eval.evaluation import upload
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.evaluation.upload import on_device
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources.views import Render, View

CPU, META = torch.device("cpu"), torch.device("meta")
IMAGES = {name: torch.rand(20, 24, 3, generator=torch.Generator().manual_seed(ord(name))) for name in "abcd"}
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def view(name: str) -> View:
    image = IMAGES[name]
    alpha = torch.full((20, 24, 1), 0.5)
    return View(
        name,
        image,
        (Render(image.flip(0), alpha=alpha), Render(image.flip(1))),
        torch.ones(20, 24),
        reference_alpha=alpha,
        background=(1, 1, 1),
    )


def logged_views(events: list[str], names: str) -> Iterator[View]:
    for name in names:
        events.append(f"made {name}")
        yield view(name)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replace the copy to a device by one in memory; return the names of the copied views, in order."""
    sent: list[str] = []

    def send(device: torch.device, view: View) -> upload.Arrival:
        assert device == META
        sent.append(view.name)
        copied = upload._moved(view, torch.clone)
        return lambda: copied

    monkeypatch.setattr(upload, "_at_once", lambda device: partial(send, device))
    return sent


def test_cpu_gets_views_without_copies() -> None:
    events: list[str] = []
    for original, copy in on_device(logged_views(events, "abc"), CPU):
        events.append(f"scored {copy.name}")
        assert copy is original
    assert events == ["made a", "scored a", "made b", "scored b", "made c", "scored c"]


def test_next_view_is_copied_before_one_is_scored(elsewhere: list[str]) -> None:
    events: list[str] = []
    for original, copy in on_device(logged_views(events, "abc"), META):
        events.append(f"scored {copy.name}")
        assert original.name == copy.name and original.reference is IMAGES[original.name] is not copy.reference
    assert events == ["made a", "made b", "scored a", "made c", "scored b", "scored c"]
    assert elsewhere == ["a", "b", "c"]


def test_all_images_of_a_view_are_copied(elsewhere: list[str]) -> None:
    ((original, copy),) = on_device([view("a")], META)
    pairs = [
        (original.reference, copy.reference),
        (original.reference_alpha, copy.reference_alpha),
    ]
    for render, copied in zip(original.renders, copy.renders, strict=True):
        pairs += [(render.image, copied.image), (render.alpha, copied.alpha)]
        assert replace(render, image=copied.image, alpha=copied.alpha) == copied
    for image, copied in pairs:
        assert (image is None) == (copied is None)
        assert image is None or copied is None or (image is not copied and torch.equal(image, copied))
    assert copy.mask is original.mask  # The CPU looks at it.
    assert (copy.name, copy.background) == (original.name, original.background)


def test_views_rendered_on_the_device_do_not_wait(elsewhere: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(View, "__post_init__", lambda self: None)  # Images on the meta device have no values.

    def rendered() -> Iterator[View]:
        for source in logged_views(events, "ab"):
            yield replace(source, reference=source.reference.to(META))

    for _, copy in on_device(rendered(), META):
        events.append(f"scored {copy.name}")
    assert events == ["made a", "scored a", "made b", "scored b"]


def test_error_of_a_copy_is_raised_after_the_views_before_it(
    elsewhere: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(view: View) -> upload.Arrival:
        if view.name == "b":
            raise RuntimeError("no memory for b")
        return lambda: view

    monkeypatch.setattr(upload, "_at_once", lambda device: refuse)
    scored = []
    with pytest.raises(RuntimeError, match="no memory for b"):
        for original, _ in on_device([view("a"), view("b"), view("c")], META):
            scored.append(original.name)
    assert scored == ["a"]


def test_device_other_than_cuda_gets_copies() -> None:
    copy = upload._at_once(CPU)(view("a"))()
    assert torch.equal(copy.reference, IMAGES["a"])


def test_copy_to_a_gpu_uses_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the order of CUDA calls, with replacements for the CUDA functions."""
    calls: list[str] = []

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = name

        def record_event(self) -> str:
            calls.append("event")
            return "event"

        def wait_event(self, event: str) -> None:
            calls.append(f"{self.name} waits for {event}")

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        calls.append(f"in {stream.name}")
        yield
        calls.append(f"out of {stream.name}")

    def to(image: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        assert device == CPU and non_blocking
        calls.append("copy")
        return image.clone()

    def pin(image: torch.Tensor) -> torch.Tensor:
        if image.shape == (20, 24, 1):
            raise RuntimeError("no memory can be pinned")
        calls.append("pin")
        return image

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("aside"))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("scoring"))
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda image, stream: calls.append(f"kept for {stream.name}"))
    arrive = upload._aside(CPU)(view("a"))
    # Two renders and a reference are pinned; two alpha channels are copied without pinning.
    assert sorted(calls[1:-2]) == ["copy"] * 5 + ["pin"] * 3
    assert (calls[0], calls[-2:]) == ("in aside", ["event", "out of aside"])
    calls.clear()
    copy = arrive()
    assert calls == ["scoring waits for event"] + ["kept for scoring"] * 5
    assert torch.equal(copy.reference, IMAGES["a"])


@needs_cuda
def test_gpu_scores_like_the_cpu(tmp_path: Path) -> None:
    ids = (ResultId("scene", "one"), ResultId("scene", "two"))
    protocol = protocol_of(LIGHT)
    records = [
        evaluate(map(view, "abcd"), ids, Scorer([protocol], device), Session(tmp_path))
        for device in (CPU, torch.device("cuda"))
    ]
    for on_cpu, on_gpu in zip(*records, strict=True):
        for cpu_row, gpu_row in zip(on_cpu.views, on_gpu.views, strict=True):
            assert cpu_row.reference_sha256 == gpu_row.reference_sha256
            assert cpu_row.scores == pytest.approx(gpu_row.scores, rel=1e-5)
