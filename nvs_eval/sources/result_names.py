"""Names of the scene and the method of results in folders, as far as neither the user nor a layout names them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nvs_eval.errors import InputError, counted, quoted

_SAYS_NOTHING = frozenset(
    "output outputs out eval evals evaluation result results render renders rendered renderings prediction predictions "
    "preds test train val images exp exps experiments run runs logs log models checkpoints data tmp".split()
)
"""Names of folders that are not those of a method."""


@dataclass(frozen=True)
class Named:
    """Folder that a method is named after.

    Attributes:
        scene: name of the scene.
        folder: the folder.
        plain: whether it is a plain folder of images, which is named whatever it says.
    """

    scene: str
    folder: Path
    plain: bool = False

    @property
    def base(self) -> Path:
        """The folder, or the one above it if the folder is named after the scene."""
        return self.folder.parent if self.folder.name == self.scene else self.folder


def method_per_folder(methods: Sequence[str], folders: int) -> list[str | None]:
    """Return the user's method of each folder: one for all, one per folder, or none.

    Raises:
        InputError: there is another number of methods.
    """
    if len(methods) not in (0, 1, folders):
        raise InputError(
            f"--method has {counted(len(methods), 'name')} for {counted(folders, 'folder')} of renders. Give one, or "
            "one per folder."
        )
    return [None] * folders if not methods else [*methods] * (folders if len(methods) == 1 else 1)


def method_names(folders: Sequence[Named]) -> list[str]:
    """Return a method for each folder.

    It is the folder's name; where that is the name of the scene, as in `3dgs/garden`, the name of the folder above.
    Names that collide are extended to the shortest trailing path that is unique.

    Raises:
        InputError: a name such as `output` is not that of a method.
    """
    bases = [(named.scene, named.base) for named in folders]
    depths = dict.fromkeys(bases, 1)
    while True:
        names = {(scene, path): "/".join(path.parts[-depth:]) for (scene, path), depth in depths.items()}
        counts = Counter((scene, name) for (scene, _), name in names.items())
        if max(counts.values(), default=0) <= 1:
            break
        depths = {base: depth + (counts[base[0], names[base]] > 1) for base, depth in depths.items()}
    for base, named in zip(bases, folders, strict=True):
        says_nothing = not names[base].strip("/") or names[base].lower() in _SAYS_NOTHING
        if says_nothing and not (named.plain and named.base == named.folder):
            raise InputError(
                f"The method of {named.folder} is unknown, because {quoted(names[base])} is not the name of a "
                "method. Add `--method NAME`."
            )
    return [names[base] for base in bases]
