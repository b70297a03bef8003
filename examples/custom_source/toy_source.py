"""The runs of a trainer whose model is one image that is shown for every camera."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nvs_eval import InputError, Render, ResultId, View, load_image, selection_of


def knows(path):
    """Return whether a path is a run: a folder with a file `toy.json`."""
    return (path / "toy.json").is_file()


def open_run(path, *, steps, split, views, every, data, device, eval_num_rays_per_chunk, trust, warn):
    """Return the chosen checkpoints in the order of their steps."""
    if split == "val":
        raise InputError("--split must be test or train. Got val.")
    run = json.loads((path / "toy.json").read_text())
    folder = data or path / run["images"]
    of_split = [file for i, file in enumerate(sorted(folder.glob("*.png"))) if (i % 8 == 0) == (split == "test")]
    images = [file for file in of_split if not views or file.stem in views][::every]
    files = {int(file.stem): file for file in path.glob("[0-9]*.npy")}
    chosen = sorted(files)[-1:] if steps == "last" else sorted(files) if steps == "all" else steps
    if missing := [step for step in chosen if step not in files]:
        raise InputError(f"--steps must be steps of {path}: {sorted(files)}. Got {missing}.")
    selection = selection_of([file.stem for file in images], [file.stem for file in of_split])
    return [
        Checkpoint(ResultId(run["scene"], "toy", path.name, step, split, selection), files[step], images)
        for step in chosen
    ]


@dataclass(frozen=True)
class Checkpoint:
    """The views of one checkpoint, rendered when they are needed."""

    id: ResultId
    file: Path
    images: list[Path]
    masks = None
    own_protocol = None
    doubts = ()
    peak_memory_bytes = None

    @property
    def names(self):
        """Names of the views."""
        return [image.stem for image in self.images]

    @property
    def sizes(self):
        """Width and height of each view."""
        return [load_image(image).shape[1::-1] for image in self.images]

    @property
    def provenance(self):
        """Hashes that decide whether a record is up to date."""
        data = b"".join(image.read_bytes() for image in self.images)
        contents = {"checkpoint": self.file.read_bytes(), "config": b"", "data": data}
        return {f"{name}_sha256": hashlib.sha256(content).hexdigest() for name, content in contents.items()}

    def __len__(self):
        """Number of views."""
        return len(self.images)

    def render(self, names):
        """Yield the named views, each with its reference and its render, both float32 `[H, W, 3]` in [0, 1]."""
        render = torch.from_numpy(np.load(self.file))
        for image in self.images:
            if image.stem in names:
                yield View(image.stem, load_image(image), (Render(render),))
