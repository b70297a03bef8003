"""Fonts of matplotlib: the one that was named, and others for characters that it lacks."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nvs_eval.errors import InputError, quoted, some, unknown_name

# Bundled with matplotlib. Its last resort, which has a box for every character, is no font for papers.
_WIDE = "DejaVu Sans"
_LAST_RESORT = "Last Resort"
_SUFFIXES = (".ttf", ".otf", ".ttc")


def font_families(font: str, texts: Iterable[str]) -> list[str]:
    """Return the families that together have all characters of some texts, the named one first.

    Args:
        font: name of an installed family, or a .ttf or .otf file.
        texts: texts to be set.

    Raises:
        InputError: there is no such font, or no installed font has a character.
    """
    families = [_named(font)]
    for text in texts:
        missing = {character for character in text if not character.isspace()}
        for family in families:
            missing -= _characters(family)
        if missing:
            families += _having(missing, text)
    return families


def font_file(family: str, *, bold: bool = False) -> Path:
    """Return the file of a family."""
    from matplotlib.font_manager import FontProperties, findfont

    properties = FontProperties(family=[family], weight="bold" if bold else "normal")
    with quiet_fonts():
        return Path(findfont(properties, fallback_to_default=False))


@contextmanager
def quiet_fonts() -> Iterator[None]:
    """Silence matplotlib's log about fonts; `has_bold` checks for a bold one."""
    logger = logging.getLogger("matplotlib.font_manager")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@functools.cache
def file_with(character: str, families: tuple[str, ...], *, bold: bool) -> Path:
    """Return the file of the first family that has a character. A bold font may have fewer than the plain one."""
    files = [font_file(family, bold=heavy) for family in families for heavy in ((True, False) if bold else (False,))]
    return next((file for file in files if character in _characters_in(file)), files[0])


def families_with(text: str, families: Sequence[str], *, bold: bool) -> list[str]:
    """Return the families that a text is set in, in their order."""
    files = {file_with(character, tuple(families), bold=bold) for character in text if not character.isspace()}
    return [family for family in families if {font_file(family), font_file(family, bold=bold)} & files]


def is_embeddable(family: str) -> bool:
    """Return whether PDF files of matplotlib can have a family's characters as text.

    It declares fonts with PostScript outlines (most .otf files, Noto CJK) as TrueType fonts, which some viewers and
    publishers refuse.
    """
    from matplotlib.ft2font import FT2Font

    table = FT2Font(str(font_file(family))).get_sfnt_table("maxp")
    return table is None or table["version"] >= (1, 0)


def has_bold(family: str) -> bool:
    """Return whether a family has a bold font."""
    return font_file(family, bold=True) != font_file(family)


def _named(font: str) -> str:
    from matplotlib.font_manager import fontManager

    if Path(font).suffix.lower() not in _SUFFIXES:
        names = {entry.name for entry in fontManager.ttflist if not entry.name.startswith(_LAST_RESORT)}
        if font not in names:
            raise unknown_name("font", font, names)
        return font
    try:
        family = _family_in(Path(font))
        # Its bold font is another file beside it.
        for file in sorted(Path(font).parent.iterdir()):
            if file.suffix.lower() in _SUFFIXES and _family_in(file) == family:
                fontManager.addfont(file)
    except (OSError, RuntimeError) as error:
        raise InputError(f"--font {font} cannot be read: {error}. Name an installed font, or its file.") from error
    return family


@functools.cache
def _family_in(file: Path) -> str:
    from matplotlib.ft2font import FT2Font

    return FT2Font(str(file)).family_name


def _characters(family: str) -> frozenset[str]:
    return _characters_in(font_file(family))


@functools.cache
def _characters_in(file: Path) -> frozenset[str]:
    from matplotlib.ft2font import FT2Font

    return frozenset(map(chr, FT2Font(str(file)).get_charmap()))


def _having(characters: set[str], text: str) -> Sequence[str]:
    """Return installed families that together have some characters of a text."""
    from matplotlib.font_manager import fontManager

    found: list[str] = []
    names = sorted({entry.name for entry in fontManager.ttflist if not entry.name.startswith(_LAST_RESORT)})
    for family in sorted(names, key=lambda name: name != _WIDE):
        if characters & _characters(family):
            found.append(family)
            characters = characters - _characters(family)
        if not characters:
            return found
    raise InputError(
        f"No installed font has {some(sorted(characters))} of {quoted(text)}. Install one, such as Noto, name its file "
        "with `--font`, or give other texts with `--names` and `--labels`."
    )
