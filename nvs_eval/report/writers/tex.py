"""Text as LaTeX: nothing in it is a command, and pdflatex can set all of it without a package."""

from __future__ import annotations

import unicodedata

from nvs_eval.metrics.registry import about_of

_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "_": r"\_", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "`": r"\`{}",
    # Some languages of babel make a command of it.
    '"': r'\string"',
    # Not joined to dashes and quotes.
    "-": "-{}", "'": "'{}", ",": ",{}",
}  # fmt: skip
_JOINED = "-',"
_SIGNS = {
    "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"$\S$", "¶": r"$\P$", "≈": r"$\approx$", "↑": r"$\uparrow$",
    "↓": r"$\downarrow$", "→": r"$\rightarrow$", "←": r"$\leftarrow$", "∞": r"$\infty$", "±": r"$\pm$",
    "·": r"$\cdot$", "≤": r"$\leq$", "≥": r"$\geq$", "≠": r"$\neq$", "°": r"$^{\circ}$", "²": "$^{2}$", "³": "$^{3}$",
    "µ": r"$\mu$", "ς": r"$\varsigma$", "•": r"$\bullet$", "…": r"\dots{}", "“": "``", "”": "''", "¿": "?`", "¡": "!`",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "£": r"\pounds{}", "©": r"\copyright{}", "\xa0": "~",
    # The sign of multiplication, minus, the two dashes, two quotes, and i without a dot, which look like others.
    "\u00d7": r"$\times$", "\u2212": "$-$", "\u2013": "--", "\u2014": "---", "\u2018": "`", "\u2019": "'",
    "\u0131": r"\i{}",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d", "\u0327": "c", "\u0331": "b",
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau upsilon phi chi psi "
    "omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
).split()


def escape(text: str) -> str:
    """A text as LaTeX sets it.

    A letter that pdflatex has no glyph for is given by its code, such as U+82B1: a name that cannot be read is better
    than a paper that cannot be compiled.
    """
    text = unicodedata.normalize("NFC", text)
    following = [*text[1:], ""][: len(text)]
    escaped = "".join(_escape(each, after) for each, after in zip(text, following, strict=True))
    # After the end of a row or a rule, a bracket would begin an option, and a star be a part of the command.
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped.startswith(("[", "*")) else escaped


def metric_name(metric: str, shown: str) -> str:
    """A metric's name as papers write it.

    Args:
        metric: its key.
        shown: as it is shown elsewhere, for one that papers have no name for.
    """
    return about_of(metric).latex or escape(shown)


def _escape(character: str, following: str) -> str:
    if character in _JOINED:
        return _SPECIAL[character] if following in _JOINED and following else character
    if character in _SPECIAL:
        return _SPECIAL[character]
    return character if character.isascii() else _beyond_ascii(character)


def _beyond_ascii(character: str) -> str:
    if character in _SIGNS:
        return _SIGNS[character]
    letter, *accents = unicodedata.normalize("NFD", character)
    if letter.isascii() and accents and all(accent in _ACCENTS for accent in accents):
        for accent in accents:
            # The dot of an i or j gives way to what stands above it.
            base = rf"\{letter}" if letter in "ij" and _ACCENTS[accent] not in "dcb" else letter
            letter = rf"\{_ACCENTS[accent]}{{{base}}}"
        return letter
    greek = unicodedata.name(character, "").removeprefix("GREEK ").split(" LETTER ")
    if len(greek) == 2:
        name = greek[1].lower().replace("lamda", "lambda")
        name = name if greek[0] == "SMALL" else name.capitalize()
        if name in _GREEK:
            return rf"$\{name}$"
    return f"U+{ord(character):04X}"
