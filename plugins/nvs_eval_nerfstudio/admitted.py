"""Packages and classes that a run's configuration may name.

A configuration of admitted classes is not harmless by itself, because a class may unpickle files or fetch code.
"""

from __future__ import annotations

import os
import sys
from abc import ABC
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, entry_points
from pathlib import Path
from typing import Any, Generic, Protocol, get_args, get_origin

from nvs_eval.system.untrusted import refusing
from nvs_eval_nerfstudio.decoders import images_checked
from nvs_eval_nerfstudio.quiet import quiet

OURS = frozenset({"nvs_eval", "nvs_eval_nerfstudio"})
"""Packages of nvs-eval, of which a configuration may name the hook only."""
_GROUPS = ("nerfstudio.method_configs", "nerfstudio.dataparser_configs")
_VARIABLES = ("NERFSTUDIO_METHOD_CONFIGS", "NERFSTUDIO_DATAPARSER_CONFIGS")


def admitted_packages() -> frozenset[str]:
    """Return the packages whose classes a configuration may name: nerfstudio, nvs-eval and registered plugins."""
    names = {"nerfstudio", *OURS}
    for point in (point for group in _GROUPS for point in entry_points(group=group)):
        names.add(point.module.split(".")[0])
        if point.dist is not None:
            names |= _top_level(point.dist)
    for definition in (part for name in _VARIABLES for part in os.environ.get(name, "").split(",")):
        names.add(definition.partition("=")[2].split(":")[0].split(".")[0].strip())
    return frozenset(name for name in names if name.isidentifier() and name not in sys.stdlib_module_names)


def _top_level(distribution: Distribution) -> set[str]:
    if names := (distribution.read_text("top_level.txt") or "").split():
        return set(names)
    return {file.parts[0].removesuffix(".py") for file in distribution.files or () if file.suffix == ".py"}


# Read in the sources of nerfstudio 1.1.5: they load JSON, text, COLMAP files, images and arrays without pickle, and
# write nothing. Not among them: MinimalDataParser unpickles, DepthDataset fetches code and a network with torch.hub,
# Dycheck writes images and arrays to paths that its data names.
_REVIEWED = {
    "nerfstudio.data.dataparsers.arkitscenes_dataparser.ARKitScenes",
    "nerfstudio.data.dataparsers.blender_dataparser.Blender",
    "nerfstudio.data.dataparsers.colmap_dataparser.ColmapDataParser",
    "nerfstudio.data.dataparsers.dnerf_dataparser.DNeRF",
    "nerfstudio.data.dataparsers.instant_ngp_dataparser.InstantNGP",
    "nerfstudio.data.dataparsers.nerfosr_dataparser.NeRFOSR",
    "nerfstudio.data.dataparsers.nerfstudio_dataparser.Nerfstudio",
    "nerfstudio.data.dataparsers.nuscenes_dataparser.NuScenes",
    "nerfstudio.data.dataparsers.phototourism_dataparser.Phototourism",
    "nerfstudio.data.dataparsers.scannet_dataparser.ScanNet",
    "nerfstudio.data.dataparsers.scannetpp_dataparser.ScanNetpp",
    "nerfstudio.data.dataparsers.sdfstudio_dataparser.SDFStudio",
    "nerfstudio.data.dataparsers.sitcoms3d_dataparser.Sitcoms3D",
    "nerfstudio.data.datasets.base_dataset.InputDataset",
    "nerfstudio.data.datasets.sdf_dataset.SDFDataset",
    "nerfstudio.data.datasets.semantic_dataset.SemanticDataset",
}


def unreviewed(target: Any) -> str | None:
    """Return the name of a data parser or dataset that a class is or uses and that is not known to be harmless."""
    from nerfstudio.data.dataparsers.base_dataparser import DataParser
    from torch.utils.data import Dataset

    for kind in parts(target):
        name = f"{kind.__module__}.{kind.__qualname__}"
        if issubclass(kind, DataParser | Dataset) and kind is not Dataset and name not in _REVIEWED:
            return name
    return None


def parts(target: Any) -> Iterator[type]:
    """Yield a class and the classes that it is parametrised with, such as the dataset of a data manager."""
    kind = get_origin(target) or target
    bases = [base for part in getattr(kind, "__mro__", ()) for base in vars(part).get("__orig_bases__", ())]
    for part in (kind, *(value for alias in (target, *bases) for value in get_args(alias))):
        if isinstance(part, type):
            yield part


def fits(target: Any, default: Any) -> bool:
    """Return whether a class may take the place of a configuration's default: they must share a base class."""
    general = {object, ABC, Generic, Protocol}
    kinds = [set(getattr(get_origin(kind) or kind, "__mro__", ())) for kind in (target, default)]
    return any(kind not in general and kind.__module__ != "torch.nn.modules.module" for kind in kinds[0] & kinds[1])


@contextmanager
def reading(path: Path, *, trust: bool) -> Iterator[None]:
    """Run nerfstudio quietly on a run's files and, unless they are trusted, refuse what they must not cause.

    Args:
        path: `config.yml` of the run, named in messages.
        trust: whether the user trusts the author of the run.

    Raises:
        InputError: an action was refused, or nerfstudio prompts the user.
    """
    with quiet(), images_checked():
        if trust:
            yield
            return
        with refusing(path, owners=admitted_packages() - OURS):
            yield
