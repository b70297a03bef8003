"""Views brought to the device that scores them: while one is scored there, the next is copied."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from nvs_eval.sources.views import View

Arrival = Callable[[], View]
"""Gives a view on its device: whatever is computed there from then on may use it."""


def on_device(views: Iterable[View], device: torch.device) -> Generator[tuple[View, View], None, None]:
    """Each view as it came and as it lies on a device, in order.

    What comes in the processor's memory is copied in the background, one view ahead of the one that was given last.
    What was rendered where it is scored is not held back, and nothing is where the processor scores.

    Args:
        views: to bring there.
        device: where they are scored.

    Raises:
        Exception: whatever the views or a copy raise.
    """
    if device.type == "cpu":
        yield from ((view, view) for view in views)
    else:
        yield from _one_ahead(views, _aside(device) if device.type == "cuda" else _at_once(device))


def _one_ahead(views: Iterable[View], send: Callable[[View], Arrival]) -> Generator[tuple[View, View], None, None]:
    waiting: deque[tuple[View, Future[Arrival]]] = deque()

    def first() -> tuple[View, View]:
        view, sent = waiting.popleft()
        return view, sent.result()()

    with ThreadPoolExecutor(1, thread_name_prefix="nvs-eval-upload") as background:
        for view in views:
            rendered_there = view.reference.device.type != "cpu"
            if not rendered_there:
                waiting.append((view, background.submit(send, view)))
            while len(waiting) > int(not rendered_there):
                yield first()
            if rendered_there:
                yield view, view
        while waiting:
            yield first()


def _at_once(device: torch.device) -> Callable[[View], Arrival]:
    def send(view: View) -> Arrival:
        there = _moved(view, lambda image: image.to(device))
        return lambda: there

    return send


def _aside(device: torch.device) -> Callable[[View], Arrival]:
    """To a graphics card in a stream of its own, from memory that the card reads by itself: it computes meanwhile."""
    stream = torch.cuda.Stream(device)

    def send(view: View) -> Arrival:
        with torch.cuda.stream(stream):
            there = _moved(view, lambda image: _pinned(image).to(device, non_blocking=True))
            copied = stream.record_event()

        def arrive() -> View:
            current = torch.cuda.current_stream(device)
            current.wait_event(copied)
            for image in _images(there):
                # Its memory is not given to the next view before this one is scored.
                image.record_stream(current)
            return there

        return arrive

    return send


def _pinned(image: Tensor) -> Tensor:
    """An image in memory that a graphics card reads by itself; itself where there is no more of that."""
    try:
        return image.pin_memory()
    except RuntimeError:
        return image


def _moved(view: View, move: Callable[[Tensor], Tensor]) -> View:
    """A view whose images, their alpha and its mask are brought elsewhere."""

    def each(image: Tensor | None) -> Tensor | None:
        return None if image is None else move(image)

    return view.trusted(
        reference=move(view.reference),
        reference_alpha=each(view.reference_alpha),
        renders=tuple(replace(render, image=move(render.image), alpha=each(render.alpha)) for render in view.renders),
        mask=each(view.mask),
    )


def _images(view: View) -> Iterator[Tensor]:
    yield view.reference
    for render in view.renders:
        yield render.image
    others = (view.reference_alpha, view.mask, *(render.alpha for render in view.renders))
    yield from (image for image in others if image is not None)
