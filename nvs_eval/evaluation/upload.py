"""Copy views to the device that scores them. The next view is copied while one is scored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from nvs_eval.sources.views import View
from nvs_eval.system.devices import out_of_memory

Arrival = Callable[[], View]
"""Returns a view on its device, ready for any computation there that starts afterwards."""


def on_device(views: Iterable[View], device: torch.device) -> Generator[tuple[View, View], None, None]:
    """Yield each view, in order, as a pair: the original and its copy on a device.

    Views in CPU memory are copied in the background, one view ahead. Views that were rendered on the device are yielded
    at once, and so are all views if the CPU scores. A view that does not fit on the device is its own copy.

    Args:
        views: views to copy.
        device: device that scores them.

    Raises:
        Exception: Any error of the views or of a copy.
    """
    if device.type == "cpu":
        yield from ((view, view) for view in views)
    else:
        yield from _one_ahead(views, _aside(device) if device.type == "cuda" else _at_once(device))


def _one_ahead(views: Iterable[View], send: Callable[[View], Arrival]) -> Generator[tuple[View, View], None, None]:
    waiting: deque[tuple[View, Future[Arrival]]] = deque()

    def first() -> tuple[View, View]:
        view, sent = waiting.popleft()
        try:
            return view, sent.result()()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        return view, view  # The scorer copies as many of its renders at a time as fit.

    with ThreadPoolExecutor(1, thread_name_prefix="nvs-eval-upload") as background:
        for view in views:
            on_cpu = view.reference.device.type == "cpu"
            if on_cpu:
                waiting.append((view, background.submit(send, view)))
            while len(waiting) > int(on_cpu):
                yield first()
            if not on_cpu:
                yield view, view
        while waiting:
            yield first()


def _at_once(device: torch.device) -> Callable[[View], Arrival]:
    def send(view: View) -> Arrival:
        copied = _moved(view, lambda image: image.to(device))
        return lambda: copied

    return send


def _aside(device: torch.device) -> Callable[[View], Arrival]:
    """Return a function that copies views to a GPU in a separate stream, from pinned memory, while the GPU computes."""
    stream = torch.cuda.Stream(device)

    def send(view: View) -> Arrival:
        with torch.cuda.stream(stream):
            copied = _moved(view, lambda image: _pinned(image).to(device, non_blocking=True))
            done = stream.record_event()

        def arrive() -> View:
            current = torch.cuda.current_stream(device)
            current.wait_event(done)
            for image in _images(copied):
                # Do not reuse this memory for the next view before this view is scored.
                image.record_stream(current)
            return copied

        return arrive

    return send


def _pinned(image: Tensor) -> Tensor:
    """Return an image in pinned memory, or the image itself if no memory can be pinned."""
    try:
        return image.pin_memory()
    except RuntimeError:
        return image


def _moved(view: View, move: Callable[[Tensor], Tensor]) -> View:
    """Return a view whose images and alpha are moved by a function. The mask stays, because the CPU looks at it."""

    def move_optional(image: Tensor | None) -> Tensor | None:
        return None if image is None else move(image)

    return view.trusted(
        reference=move(view.reference),
        reference_alpha=move_optional(view.reference_alpha),
        renders=tuple(
            replace(render, image=move(render.image), alpha=move_optional(render.alpha)) for render in view.renders
        ),
    )


def _images(view: View) -> Iterator[Tensor]:
    yield view.reference
    for render in view.renders:
        yield render.image
    optional = (view.reference_alpha, *(render.alpha for render in view.renders))
    yield from (image for image in optional if image is not None)
