"""Views brought to the device that scores them: order, one ahead, what does not wait, and errors in their place."""

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
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


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


def told(events: list[str], names: str) -> Iterator[View]:
    for name in names:
        events.append(f"made {name}")
        yield view(name)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A device that is not the processor, whose images can be looked at: what was sent to it, in order."""
    sent: list[str] = []

    def send(device: torch.device, view: View) -> upload.Arrival:
        assert device == META
        sent.append(view.name)
        there = upload._moved(view, torch.clone)
        return lambda: there

    monkeypatch.setattr(upload, "_at_once", lambda device: partial(send, device))
    return sent


def test_the_processor_takes_views_as_they_come() -> None:
    events: list[str] = []
    for came, there in on_device(told(events, "abc"), CPU):
        events.append(f"scored {there.name}")
        assert there is came
    assert events == ["made a", "scored a", "made b", "scored b", "made c", "scored c"]


def test_the_next_view_is_sent_before_one_is_scored(elsewhere: list[str]) -> None:
    events: list[str] = []
    for came, there in on_device(told(events, "abc"), META):
        events.append(f"scored {there.name}")
        assert came.name == there.name and came.reference is IMAGES[came.name] is not there.reference
    assert events == ["made a", "made b", "scored a", "made c", "scored b", "scored c"]
    assert elsewhere == ["a", "b", "c"]


def test_all_that_a_view_has_is_sent(elsewhere: list[str]) -> None:
    ((came, there),) = on_device([view("a")], META)
    pairs = [(came.reference, there.reference), (came.reference_alpha, there.reference_alpha), (came.mask, there.mask)]
    for one, other in zip(came.renders, there.renders, strict=True):
        pairs += [(one.image, other.image), (one.alpha, other.alpha)]
        assert replace(one, image=other.image, alpha=other.alpha) == other
    for one, other in pairs:
        assert (one is None) == (other is None)
        assert one is None or other is None or (one is not other and torch.equal(one, other))
    assert (there.name, there.background) == (came.name, came.background)


def test_what_is_rendered_there_does_not_wait(elsewhere: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    monkeypatch.setattr(View, "__post_init__", lambda self: None)  # There are no values to look at.

    def rendered() -> Iterator[View]:
        for each in told(events, "ab"):
            yield replace(each, reference=each.reference.to(META))

    for _, there in on_device(rendered(), META):
        events.append(f"scored {there.name}")
    assert events == ["made a", "scored a", "made b", "scored b"]


def test_an_error_comes_after_what_was_well(elsewhere: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(view: View) -> upload.Arrival:
        if view.name == "b":
            raise RuntimeError("no room for b")
        return lambda: view

    monkeypatch.setattr(upload, "_at_once", lambda device: refuse)
    seen = []
    with pytest.raises(RuntimeError, match="no room for b"):
        for came, _ in on_device([view("a"), view("b"), view("c")], META):
            seen.append(came.name)
    assert seen == ["a"]


def test_a_device_that_is_no_graphics_card_is_sent_copies() -> None:
    sent = upload._at_once(CPU)(view("a"))()
    assert torch.equal(sent.reference, IMAGES["a"])


def test_a_view_is_copied_aside_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """In which order a graphics card is asked for what, as far as that can be seen without one."""
    asked: list[str] = []

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = name

        def record_event(self) -> str:
            asked.append("event")
            return "event"

        def wait_event(self, event: str) -> None:
            asked.append(f"{self.name} waits for {event}")

    @contextmanager
    def within(stream: Stream) -> Iterator[None]:
        asked.append(f"in {stream.name}")
        yield
        asked.append(f"out of {stream.name}")

    def to(image: torch.Tensor, device: torch.device, *, non_blocking: bool) -> torch.Tensor:
        assert device == CPU and non_blocking
        asked.append("copy")
        return image.clone()

    def pin(image: torch.Tensor) -> torch.Tensor:
        if image.shape == (20, 24, 1):
            raise RuntimeError("no memory can be pinned")
        asked.append("pin")
        return image

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream("aside"))
    monkeypatch.setattr(torch.cuda, "stream", within)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("scoring"))
    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda image, stream: asked.append(f"kept for {stream.name}"))
    arrive = upload._aside(CPU)(view("a"))
    # Two renders, a reference and a mask; two have alpha, which is copied as it lies.
    assert sorted(asked[1:-2]) == ["copy"] * 6 + ["pin"] * 4
    assert (asked[0], asked[-2:]) == ("in aside", ["event", "out of aside"])
    asked.clear()
    there = arrive()
    assert asked == ["scoring waits for event"] + ["kept for scoring"] * 6
    assert torch.equal(there.reference, IMAGES["a"])


@needs_cuda
def test_a_graphics_card_gets_the_same_numbers(tmp_path: Path) -> None:
    ids = (ResultId("scene", "one"), ResultId("scene", "two"))
    protocol = protocol_of(LIGHT)
    records = [
        evaluate(map(view, "abcd"), ids, Scorer([protocol], device), Session(tmp_path))
        for device in (CPU, torch.device("cuda"))
    ]
    for ours, theirs in zip(*records, strict=True):
        for one, other in zip(ours.views, theirs.views, strict=True):
            assert one.reference_sha256 == other.reference_sha256
            assert one.scores == pytest.approx(other.scores, rel=1e-5)
