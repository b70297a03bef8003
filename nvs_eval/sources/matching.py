"""Which renders and references belong together: by name or in order, and which of the views are scored."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nvs_eval.errors import InputError, counted, some, unknown_name
from nvs_eval.records.result_id import selection_of
from nvs_eval.sources.pictures import Picture, list_images, named_like, whole_files

Match = Literal["name", "order"]
Pictures = Mapping[str, Picture]
_HELD_OUT = 8
"""Tools that follow LLFF hold out every eighth photograph."""


def choose_views(names: Sequence[str], *, wanted: Sequence[str], every: int) -> dict[int, str]:
    """Return the views to evaluate by position: every n-th of the wanted ones (default: all), in the order of the data.

    Raises:
        InputError: a name is unknown, or `every` is not positive.
    """
    if every < 1:
        raise InputError(f"--every must be at least 1 (all views). Got {every}.")
    known, chosen_names = set(names), set(wanted)
    for name in wanted:
        if name not in known:
            raise unknown_name("view", name, names)
    chosen = [(index, name) for index, name in enumerate(names) if not wanted or name in chosen_names]
    return dict(chosen[::every])


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key by which `frame_2` comes before `frame_10`."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def order_differs(names: Sequence[str]) -> bool:
    """Return whether names have another order as text, in which `frame_10` comes before `frame_2`."""
    return sorted(names) != sorted(names, key=natural)


@dataclass(frozen=True)
class Pairs:
    """Renders and references of the views to score, by view name, in the order of the views.

    Attributes:
        renders: render of each view.
        references: reference of each view.
        selection: identifier of the views if they are only a part (see `selection_of`).
        left_out: chosen views without a render or a reference, with the reason.
        ambiguous_order: whether they are paired in order, and the order of the renders or references as text differs.
    """

    renders: Pictures
    references: Pictures
    selection: str | None
    left_out: Mapping[str, str]
    ambiguous_order: bool = False


@dataclass(frozen=True)
class Matching:
    """Which files of folders are views, how renders and references are matched, and which of the views are scored.

    Attributes:
        match: match by name, or pair both sides in the natural order of their names (`frame_2` before `frame_10`).
        renders_glob: patterns of the files of renders (see `list_images`).
        reference_glob: patterns of the files of references.
        views: names of the views to score (default: all).
        every: use every n-th of these views.
    """

    match: Match = "name"
    renders_glob: Sequence[str] = ()
    reference_glob: Sequence[str] = ()
    views: Sequence[str] = ()
    every: int = 1

    def renders_in(self, folder: Path) -> Pictures:
        """Return the renders in a folder by name.

        Raises:
            InputError: the folder has no renders, or their names are ambiguous.
        """
        return whole_files(list_images(folder, self.renders_glob, option="--renders-glob"))

    def references_in(self, folder: Path) -> Pictures:
        """Return the references in a folder by view name.

        Raises:
            InputError: the folder has no references, or their names are ambiguous.
        """
        return whole_files(list_images(folder, self.reference_glob, option="--reference-glob"))

    def pairs(self, what: object, renders: Pictures, references: Pictures, *, allow_missing: bool) -> Pairs:
        """Return the renders and references of the views to score.

        Args:
            what: name of the result, for messages.
            renders: renders by their own names.
            references: references by view name.
            allow_missing: skip views that have no render or no reference.

        Raises:
            InputError: the renders do not match, a view is unknown, or no chosen view has both.
        """
        ambiguous = self.match == "order" and (order_differs(list(renders)) or order_differs(list(references)))
        if self.match == "order":
            chosen = self._chosen(sorted(references, key=natural))
            renders = _in_order(what, renders, references, chosen)
        else:
            renders = named_like(renders, references)
            chosen = self._chosen([*references, *self._without_reference(renders, references)])
            _check_names(what, renders, references, chosen, allow_missing=allow_missing)
        names = [name for name in chosen if name in renders and name in references]
        return Pairs(
            {name: renders[name] for name in names},
            {name: references[name] for name in names},
            selection_of(names, {*renders, *references}),
            {name: "no render" for name in chosen if name not in renders}
            | {name: "no reference" for name in chosen if name not in references},
            ambiguous,
        )

    def _chosen(self, views: Sequence[str]) -> list[str]:
        return list(choose_views(views, wanted=self.views, every=self.every).values())

    def _without_reference(self, renders: Pictures, references: Pictures) -> list[str]:
        """Return renders without a reference that may be chosen. Every n-th view is counted along the references."""
        if not self.views and self.every > 1:
            return []
        return [name for name in renders if name not in references and (not self.views or name in self.views)]

    def provenance(self, pairs: Pairs) -> dict[str, Any]:
        """Return the first and last pair of files if they are paired in order, for the record; nothing otherwise."""
        if self.match == "name":
            return {}
        names = list(pairs.references)
        files = [[pairs.renders[name].path.name, pairs.references[name].path.name] for name in (names[0], names[-1])]
        return {"matched": {"by": "order", "first": files[0], "last": files[1]}}


def _in_order(what: object, renders: Pictures, references: Pictures, chosen: Sequence[str]) -> Pictures:
    """Pair sorted renders with all references, or, if there are as many, with the chosen ones."""
    names = references if len(renders) == len(references) else chosen
    if len(renders) != len(names):
        raise InputError(
            f"--match order needs as many renders as references. Got {counted(len(renders), 'render')} of {what} and "
            f"{counted(len(names), 'reference')}. Remove files that belong to no view, or choose references with "
            "`--every` or `--reference-glob`."
        )
    return dict(zip(sorted(names, key=natural), (renders[n] for n in sorted(renders, key=natural)), strict=True))


def _check_names(
    what: object, renders: Pictures, references: Pictures, chosen: Sequence[str], *, allow_missing: bool
) -> None:
    if not any(name in renders for name in references):
        raise InputError(
            f"No render of {what} has the name of a reference. The renders are {some(renders)}; the references are "
            f"{some(references)}. {_advice(list(renders), list(references))}"
        )
    extra = [name for name in chosen if name not in references]
    orphans = [
        f"{counted(len(names), kind)} without a {counterpart}: {some(names)}"
        for kind, counterpart, names in (
            ("render", "reference", extra),
            ("reference", "render", [name for name in chosen if name not in renders]),
        )
        if names
    ]
    if not any(name in renders and name in references for name in chosen):
        raise InputError(
            f"None of the chosen views of {what} can be scored: {'; '.join(orphans)}. Add the missing files, or choose "
            "other views with `--views` or `--every`."
        )
    if orphans and not allow_missing:
        raise InputError(
            f"The views of {what} do not match: {'; '.join(orphans)}. Add the missing files, or use `--allow-missing` "
            f"to score the views that have both.{_exclusion(extra, references)}"
        )


def _exclusion(extra: Sequence[str], references: Pictures) -> str:
    """Return what to type if other images lie beside the renders, such as `0_depth` beside `0`."""
    end = _common(extra)[1] if extra else ""
    beside = bool(end) and all(name.removesuffix(end) in references for name in extra)
    return f" If `*{end}` are not views, add `--renders-glob '!*{end}'`." if beside else ""


def _advice(renders: Sequence[str], references: Sequence[str]) -> str:
    """Return what to type for names that differ: patterns where that makes them equal, or an order."""
    patterns = [_common(names) for names in (renders, references)]
    bare = [
        {name[len(before) : len(name) - len(after)] for name in names}
        for names, (before, after) in zip((renders, references), patterns, strict=True)
    ]
    if "" not in bare[0] | bare[1] and (bare[0] <= bare[1] or bare[0] >= bare[1]):
        options = zip(("--renders-glob", "--reference-glob"), patterns, strict=True)
        words = (f"{option} '{before}*{after}'" for option, (before, after) in options if before or after)
        return f"They match with `{' '.join(words)}`."
    if len(renders) == len(references):
        return "Use `--match order` to pair them in the order of their names, or rename one of the two."
    if len(references[::_HELD_OUT]) == len(renders):
        return (
            f"Use `--match order --every {_HELD_OUT}` if every {_HELD_OUT}th reference was held out, or rename one of "
            "the two."
        )
    return "Rename one of the two."


def _common(names: Sequence[str]) -> tuple[str, str]:
    """Return the beginning and the end that all names share, without digits, which number the views."""
    before = _common_start(names)
    after = _common_start([name[len(before) :][::-1] for name in names])[::-1]
    return before, after


def _common_start(names: Sequence[str]) -> str:
    differs = (index for index, letters in enumerate(zip(*names, strict=False)) if len(set(letters)) > 1)
    return re.sub(r"\d+$", "", names[0][: next(differs, min(map(len, names)))])
