"""Views from folders of images: renders and references matched by name, or a layout that is known."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from nvs_eval.errors import InputError
from nvs_eval.image_files import EXTENSIONS, Reading, load_layers, probe_image
from nvs_eval.images import AlphaRule
from nvs_eval.mask_files import load_mask, probe_mask
from nvs_eval.views import Column, Render, View

_ITERATION = re.compile(r"ours_(\d+)")
_SPLITS = ("test", "train")


@dataclass(frozen=True)
class Folder:
    """One folder of renders with the references it is scored against, not yet read."""

    column: Column
    renders: Mapping[str, Path]
    references: Mapping[str, Path]


@dataclass(frozen=True)
class ImageFiles:
    """A source: views whose images lie in files, each decoded once and when it is its turn.

    Attributes:
        columns: what made the renders.
        references: the reference of each view, by the view's name.
        renders: for each column, the render of each view.
        reading: what to do with grey and linear images, and the background of those with alpha, which the protocols
            composite or drop.
        seconds: for each column, what each render took, where that is known.
        masks: the mask of each view, if there are masks.
    """

    columns: Sequence[Column]
    references: Mapping[str, Path]
    renders: Sequence[Mapping[str, Path]]
    reading: Reading = field(default_factory=Reading)
    seconds: Sequence[Mapping[str, float | None]] | None = None
    masks: Mapping[str, Path] | None = None

    def __len__(self) -> int:
        return len(self.references)

    def __iter__(self) -> Iterator[View]:
        for name, path in self.references.items():
            reference, alpha = load_layers(path, self.reading)
            mask = None if self.masks is None else self.masks[name]
            yield View(
                name,
                reference,
                tuple(self._render(name, index) for index in range(len(self.renders))),
                None if mask is None else load_mask(mask),
                reference_file=path,
                reference_alpha=alpha,
                mask_file=mask,
                background=self.reading.background,
            )

    def _render(self, name: str, index: int) -> Render:
        file = self.renders[index][name]
        image, alpha = load_layers(file, self.reading)
        return Render(image, file, None if self.seconds is None else self.seconds[index][name], alpha=alpha)

    def check(self, alpha: Collection[AlphaRule] = ("composite",)) -> None:
        """Check every file's header: it is there, is an image, has usable channels, and the size of its reference.

        Args:
            alpha: what the protocols do with alpha: an image that has it must have what they need.

        Raises:
            InputError: naming the file.
        """
        for name, path in self.references.items():
            size = self._probe(path, alpha)
            for files in self.renders:
                other = self._probe(files[name], alpha)
                if other != size:
                    raise InputError(
                        f"View {name!r}: the render {files[name]} is {other[0]}x{other[1]} and the reference {path} is "
                        f"{size[0]}x{size[1]}. Nothing is resized here: render at the reference's size."
                    )
            if self.masks is not None and (other := probe_mask(self.masks[name])) != size:
                raise InputError(
                    f"View {name!r}: the mask {self.masks[name]} is {other[0]}x{other[1]} and the reference {path} is "
                    f"{size[0]}x{size[1]}. Nothing is resized here: give masks of the references' size."
                )

    def _probe(self, path: Path, alpha: Collection[AlphaRule]) -> tuple[int, int]:
        (size,) = {probe_image(path, replace(self.reading, alpha=rule)) for rule in alpha}
        return size


def open_folders(
    renders: Sequence[Path],
    *,
    reference: Path | None = None,
    scene: str | None = None,
    methods: Sequence[str] = (),
    allow_missing: bool = False,
    reading: Reading | None = None,
    alpha: Collection[AlphaRule] = ("composite",),
    masks: Path | None = None,
) -> list[ImageFiles]:
    """The sources for folders of renders: one for all folders whose references are the same images, by their hash.

    A folder that holds `test/ours_<n>/{renders,gt}`, or is such an `ours_<n>`, brings its references and its step; any
    other is matched by name with the folder `reference`, subfolders included.

    Args:
        renders: folders.
        reference: the folder of references for those that bring none.
        scene: its name; else that of the folder above the references (of a known layout: of the data it was trained
            on).
        methods: one a folder, or none; else the folder's own name, with as much of its path as tells them apart.
        allow_missing: leave out views that only one side has, in place of an error.
        reading: what to do with grey and linear images, and the background of those with alpha.
        alpha: what the protocols do with alpha.
        masks: the folder of masks, matched with the references by name: one for each view that is scored.

    Raises:
        InputError: a folder is missing or empty, names do not match, or an image cannot be used.
    """
    if methods and len(methods) != len(renders):
        raise InputError(
            f"{len(methods)} methods were named for {len(renders)} folders of renders: give one for each, or none."
        )
    for folder in renders:
        _check_folder(folder, "of renders ")
    names = methods or _distinct_names([folder.resolve() for folder in renders])
    found = [
        part for folder, method in zip(renders, names, strict=True) for part in _open(folder, reference, scene, method)
    ]
    sources = _together([_match(folder, allow_missing=allow_missing) for folder in found], reading or Reading())
    if masks is not None:
        sources = [replace(source, masks=_masks_of(source, masks)) for source in sources]
    for source in sources:
        source.check(alpha)
    return sources


def _masks_of(source: ImageFiles, folder: Path) -> dict[str, Path]:
    """The mask of each view of a source."""
    masks = list_images(folder)
    missing = [name for name in source.references if name not in masks]
    if missing:
        raise InputError(
            f"The folder of masks {folder} has none for {len(missing)} of {len(source)} views: {_some(missing)}; it "
            f"has {_some(masks)}. Masks have the names of the references: a white one counts every pixel."
        )
    return {name: masks[name] for name in source.references}


def _check_folder(folder: Path, what: str = "") -> None:
    if not folder.is_dir():
        raise InputError(f"The folder {what}{folder} {'is no folder' if folder.exists() else 'does not exist'}.")


def _open(folder: Path, reference: Path | None, scene: str | None, method: str) -> list[Folder]:
    iterations = _iterations(folder)
    if not iterations:
        if reference is None:
            raise InputError(
                f"{folder} has no references of its own (no test/ours_<iteration>/gt below it): say `--reference DIR`."
            )
        scene = scene or reference.resolve().parent.name
        return [Folder(Column(scene, method), list_images(folder), list_images(reference))]
    scene = scene or _trained_scene(_model_folder(iterations[0][1].resolve()))
    return [
        Folder(
            Column(scene, method, step=step, split=_split_of(path)),
            list_images(path / "renders"),
            list_images(reference or path / "gt"),
        )
        for step, path in iterations
    ]


def _iterations(folder: Path) -> list[tuple[int, Path]]:
    """The `ours_<n>` folders of a model, in the order of n."""
    candidates = [folder] if _ITERATION.fullmatch(folder.resolve().name) else (folder / "test").glob("ours_*")
    matches = [(_ITERATION.fullmatch(path.resolve().name), path) for path in candidates]
    return sorted((int(match[1]), path) for match, path in matches if match and (path / "renders").is_dir())


def _split_of(iteration: Path) -> str:
    """Which views an `ours_<n>` shows: the training views only where it was given by itself, from `train`."""
    above = iteration.resolve().parent.name
    return above if above in _SPLITS else "test"


def _trained_scene(model: Path) -> str:
    """The scene that a model of the known layout was trained on: its `cfg_args` says, else the folder above it."""
    try:
        said = re.search(r"source_path='([^']+)'", (model / "cfg_args").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        said = None
    return Path(said[1]).name if said and Path(said[1]).name else model.parent.name


def list_images(folder: Path) -> dict[str, Path]:
    """The images below a folder by view name: the path below it without extension, sorted; nothing hidden is one.

    Raises:
        InputError: the folder is missing or has no image, or two files would be the same view.
    """
    _check_folder(folder)
    images: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix.lower() not in EXTENSIONS or path.is_dir() or any(part.startswith(".") for part in below.parts):
            continue
        name = below.with_suffix("").as_posix()
        if name in images:
            raise InputError(f"{images[name]} and {path} would both be view {name!r}: keep one of them.")
        images[name] = path
    if not images:
        raise InputError(f"The folder {folder} has no images ({', '.join(EXTENSIONS)}).")
    return images


def _match(folder: Folder, *, allow_missing: bool) -> Folder:
    common = [name for name in folder.references if name in folder.renders]
    if not common:
        raise InputError(
            f"No render of {folder.column} has the name of a reference: renders are {_some(folder.renders)}, "
            f"references are {_some(folder.references)}. Give both the same names."
        )
    orphans = [
        f"{len(names)} {kind}: {_some(names)}"
        for kind, names in (
            ("renders without reference", [n for n in folder.renders if n not in folder.references]),
            ("references without render", [n for n in folder.references if n not in folder.renders]),
        )
        if names
    ]
    if orphans and not allow_missing:
        raise InputError(
            f"The views of {folder.column} do not match: {'; '.join(orphans)}. Add what is missing, or say "
            "`--allow-missing` to score the views that both have."
        )
    return Folder(folder.column, {n: folder.renders[n] for n in common}, {n: folder.references[n] for n in common})


def _some(names: Sequence[str] | Mapping[str, Path], most: int = 5) -> str:
    shown = ", ".join(list(names)[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _together(folders: Sequence[Folder], reading: Reading) -> list[ImageFiles]:
    """One source for the folders whose references are the same files, or files with the same bytes."""
    groups: dict[tuple, list[Folder]] = {}
    hashes: dict[Path, str] = {}
    for folder in folders:
        for path in folder.references.values():
            if path not in hashes:
                hashes[path] = _sha256(path)
        key = (folder.column.scene, *((name, hashes[path]) for name, path in folder.references.items()))
        groups.setdefault(key, []).append(folder)
    # What rescoring and verifying need to read the files again; what alpha means is the protocols'.
    said = {name: value for name, value in asdict(reading).items() if name != "alpha"}
    return [
        ImageFiles(
            [replace(f.column, provenance={**f.column.provenance, "reading": said}) for f in group],
            group[0].references,
            [f.renders for f in group],
            reading,
        )
        for group in groups.values()
    ]


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


def _distinct_names(folders: Sequence[Path]) -> list[str]:
    """Each folder's own name; where names collide, the shortest trailing path that tells them apart."""
    for folder in folders:
        if folders.count(folder) > 1:
            raise InputError(f"The folder {folder} was given twice.")
    # Several iterations of one model are one method.
    depths = dict.fromkeys((_model_folder(folder) for folder in folders), 1)
    while True:
        names = {path: "/".join(path.parts[-depth:]) for path, depth in depths.items()}
        said = list(names.values())
        if len(set(said)) == len(said):
            return [names[_model_folder(folder)] for folder in folders]
        depths = {path: depth + (said.count(names[path]) > 1) for path, depth in depths.items()}


def _model_folder(folder: Path) -> Path:
    """What a method is named after: the folder, or for `<model>/{test,train}/ours_<n>` the model."""
    if _ITERATION.fullmatch(folder.name) and folder.parent.name in _SPLITS:
        return folder.parent.parent
    return folder
