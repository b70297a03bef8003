"""Figures as TikZ, whose text is set by the paper, with their images as PNG files."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from PIL import Image

from nvs_eval.diagnostics.figures.crops import Pixels
from nvs_eval.diagnostics.figures.drawing import Drawing, Text
from nvs_eval.errors import InputError
from nvs_eval.report.writers.latex import escape

_ANCHORS = {"left": "base west", "center": "base", "right": "base east"}
# Characters that end an argument or a comment in the name of a file.
_SPECIAL = set('\\{}%#~$&^"')


def tikz_files(drawing: Drawing, output: Path) -> dict[Path, bytes]:
    """Return the contents of the .tex file and of its images, which are in a folder beside it.

    Raises:
        InputError: LaTeX cannot include images of this name.
    """
    if wrong := _SPECIAL & set(output.stem):
        raise InputError(f"--output must have a name for LaTeX, without {' '.join(sorted(wrong))}. Got {output.name}.")
    folder = f"{output.stem}-images"
    text = "".join(f"{line}\n" for line in _lines(drawing, folder))
    images = {output.parent / folder / f"{one.name}.png": _png(one.pixels) for one in drawing.pictures}
    return {**images, output: text.encode()}  # The .tex file is written last, when all its images exist.


def _lines(drawing: Drawing, folder: str) -> Iterator[str]:
    unit = f"{72.27 / drawing.dpi:.6f}pt"
    yield r"% Figure by nvs-eval. It needs \usepackage{tikz} in the preamble, and \input{...} where it belongs."
    yield rf"% Its images are in {folder}. If that is elsewhere, put \newcommand{{\nvsfigures}}{{path/of/it/}} before."
    yield r"\providecommand{\nvsfigures}{}"
    yield "% Text that is too wide for its column is made smaller."
    yield r"\providecommand{\nvsfit}[2]{\sbox0{#2}\ifdim\wd0>#1\resizebox{#1}{!}{\usebox0}\else\usebox0\fi}"
    size = drawing.font_size
    font = rf"\fontsize{{{size:g}}}{{{1.2 * size:g}}}\selectfont"
    node = f"every node/.style={{inner sep=0pt, outer sep=0pt, font={font}}}"
    yield rf"\begin{{tikzpicture}}[x={unit}, y=-{unit}, {node}]"
    yield rf"  \useasboundingbox (0,0) rectangle ({drawing.width},{drawing.height});"
    for one in drawing.pictures:
        place = one.place
        width, height = (f"{length * 72.27 / drawing.dpi:.4f}pt" for length in (place.width, place.height))
        include = rf"\includegraphics[width={width},height={height}]{{\nvsfigures {folder}/{one.name}.png}}"
        yield rf"  \node[anchor=north west] at ({place.x},{place.y}) {{{include}}};"
    for one in drawing.outlines:
        red, green, blue = bytes.fromhex(one.colour.removeprefix("#"))
        colour = f"{{rgb,255:red,{red};green,{green};blue,{blue}}}"
        corners = f"({one.x:.2f},{one.y:.2f}) rectangle ({one.x + one.width:.2f},{one.y + one.height:.2f})"
        yield rf"  \draw[draw={colour}, line width={one.line:g}bp] {corners};"
    yield from (_node(text, drawing) for text in drawing.texts)
    yield r"\end{tikzpicture}%"


def _node(text: Text, drawing: Drawing) -> str:
    shown = text.latex or escape(text.text)
    if text.bold:
        shown = rf"\textbf{{{shown}}}"
    room = f"{text.room * 72.27 / drawing.dpi:.2f}pt"
    options = f"anchor={_ANCHORS[text.align]}" + (", rotate=90" if text.upwards else "")
    return rf"  \node[{options}] at ({text.x:.2f},{text.y:.2f}) {{\nvsfit{{{room}}}{{{shown}}}}};"


def _png(pixels: Pixels) -> bytes:
    Image.fromarray(pixels).save(file := BytesIO(), format="PNG")
    return file.getvalue()
