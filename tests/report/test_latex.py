"""LaTeX tables escape every name, have every number in its place, and compile."""

from __future__ import annotations

import math
import re
import shutil
import string
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record, row
from support.tables import MARKS, hostile_table, layout

from nvs_eval.errors import InputError
from nvs_eval.records.record import MetricInfo
from nvs_eval.report.tables.table import Table
from nvs_eval.report.tables.tables import per_view_tables, tables_of
from nvs_eval.report.writers import Style
from nvs_eval.report.writers.latex import escape, metric_name, write
from nvs_eval.report.writers.registry import PALETTES

STYLES = [Style(mark=mark) for mark in ("colour", "colour-blind", "bold", "none")]
RECORDS = [
    record([row("0001", psnr=28.25, ssim=0.875)], method="a_1", scene=scene) for scene in ("fox", "garden", "fox 2")
] + [record([row("0001", psnr=27.5, ssim=0.875)], method="b", scene="fox")]


def cells(text: str) -> list[list[str]]:
    """Return the rows of the tables, the header first."""
    return [re.split(r" (?<!\\)& ", line.strip().removesuffix(r" \\")) for line in text.splitlines() if " & " in line]


# --- Text -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("a_b & 50% $x$ #1", r"a\_b \& 50\% \$x\$ \#1"),
        ("{}~^\\", r"\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ('`x"', r"\`{}x\string" + '"'),
        ("a--b '' ,,", "a-{}-b '{}' ,{},"),
        ("[ours] [x]", "{[}ours] [x]"),
        ("*x*", "{*}x*"),
        ("†‡§≈↑∞", r"$\dagger$$\ddagger$$\S$$\approx$$\uparrow$$\infty$"),
        ("éçőĩž", r"\'{e}\c{c}\H{o}\~{\i}\v{z}"),
        ("e\u0301", r"\'{e}"),
        ("αΩßøł", r"$\alpha$$\Omega$\ss{}\o{}\l{}"),
        ("花 ą Ж", "U+82B1 U+0105 U+0416"),
        ("", ""),
    ],
)
def test_text_is_escaped(text: str, latex: str) -> None:
    assert escape(text) == latex


def test_escaped_text_is_ascii_and_letters_stay() -> None:
    plain = string.ascii_letters + string.digits + " .:;/()+=!?@"
    assert escape(plain) == plain
    assert all(escape(chr(code)).isascii() for code in range(0x20, 0x3000))


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("psnr", "PSNR"),
        ("lpips_vgg", r"LPIPS\textsubscript{VGG}"),
        ("cc_ssim", "cc-SSIM"),
        ("mae", "MAE"),
        ("my_own", r"my\_own"),
        ("cc_my_own", r"cc\_my\_own"),
    ],
)
def test_metrics_have_the_names_that_papers_write(metric: str, name: str) -> None:
    assert metric_name(metric, metric) == name


def test_plugin_metric_has_its_title_and_decimals() -> None:
    info = MetricInfo("", True, "s|v1", title="Sharp_ness", decimals=1)
    text = write(tables_of([replace(record(), views=[row(sharpness=3.25)], metrics={"sharpness": info})]), Style())
    assert r"Sharp\_ness $\uparrow$" in text
    assert " 3.2 " in text and "3.25" not in text


# --- Tables ---------------------------------------------------------------------------------------------------------


def test_a_whole_table() -> None:
    records = [replace(each, protocol={**each.protocol, "name": "my_own"}) for each in (RECORDS[0], RECORDS[3])]
    assert (
        write(tables_of(records), Style(label="tab:x"))
        == r"""% Tables by nvs-eval. They need in the preamble:
%   \usepackage{booktabs}
%   \usepackage[table]{xcolor}
% First, second and third; a paper that defines these names before keeps its own colours.
\providecolor{nvsred}{HTML}{FF9999}
\providecolor{nvsorange}{HTML}{FFCC99}
\providecolor{nvsyellow}{HTML}{FFF8A0}

\begin{table}[t]
  \centering
  \caption{fox, test views. Protocol my\_own (9f2c51ab), 1 view.}
  \label{tab:x:fox-my-own}
  % psnr|range:1|q:round8|v1
  % ssim|win:gauss11s1.5|pad:valid|cov:population|range:1|q:round8|v1
  \smallskip
  \begin{tabular}{lrrr}
    \toprule
    method & PSNR [dB] $\uparrow$ & SSIM $\uparrow$ & views \\
    \midrule
    a\_1 & \cellcolor{nvsred}28.25 & \cellcolor{nvsred}0.875 & 1 \\
    b & \cellcolor{nvsorange}27.50 & \cellcolor{nvsred}0.875 & 1 \\
    \bottomrule
  \end{tabular}
\end{table}
"""
    )


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ("colour", [r"\cellcolor{nvsred}3", r"\cellcolor{nvsorange}2", r"\cellcolor{nvsyellow}1"]),
        ("colour-blind", [r"\cellcolor{nvsblueone}3", r"\cellcolor{nvsbluetwo}2", r"\cellcolor{nvsbluethree}1"]),
        ("bold", [r"\textbf{3}", r"\underline{2}", r"\textit{1}"]),
        ("none", ["3", "2", "1"]),
    ],
)
def test_first_second_and_third_are_marked(mark: str, shown: list[str]) -> None:
    records = [record([row("0001", psnr=float(value))], method=str(value)) for value in (3, 2, 1, 0)]
    style = Style(mark=mark)  # pyright: ignore[reportArgumentType]
    text = write(tables_of(records, layout(metrics=["psnr"], decimals={"psnr": 0})), style)
    assert [line[1] for line in cells(text)[1:]] == [*shown, "0"]
    assert ("xcolor" in text) == ("cellcolor" in text)
    assert all(colour in text for colour in (PALETTES[mark].light if mark in PALETTES else ()))


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ("colour", r"\cellcolor{nvsred}$\infty$"),
        ("bold", r"\textbf{\boldmath$\infty$}"),
        ("none", r"$\infty$"),
    ],
)
def test_an_infinity_that_is_first_is_marked(mark: str, shown: str) -> None:
    style = Style(mark=mark)  # pyright: ignore[reportArgumentType]
    assert cells(write([hostile_table()], style))[1][2] == shown
    (table,) = tables_of([record([row("0001", psnr=math.inf)])], layout(metrics=["psnr"]))
    assert cells(write([table], style))[1][1] == r"$\infty$"


def test_numbers_are_aligned() -> None:
    column = [line[2] for line in cells(write([hostile_table()], Style(mark="none")))[1:]]
    assert column[0] == r"$\infty$"
    assert column[1:4] == [r"28.1\phantom{0}", r"29\phantom{.00}", "30.12"]
    marked = [line[3] for line in cells(write([hostile_table()], Style(mark="none")))[1:]]
    assert marked[0] == "0.812"
    assert marked[4:6] == [r"0.812\rlap{$^{\approx}$}", r"0.812\rlap{$^{\ddagger\dagger}$}"]


def test_empty_cells_are_dashes_and_asides_are_small() -> None:
    first = cells(write([hostile_table()], Style()))[1]
    assert [first[index] for index in (1, 5, 6)] == ["--", "--", r"12 {\scriptsize (+0.1)}"]


def test_means_stand_below_a_rule() -> None:
    lines = write([hostile_table(["a", "b", "c"], means=1)], Style()).splitlines()
    rules = [index for index, line in enumerate(lines) if "rule" in line]
    assert [lines[index].strip() for index in rules] == [r"\toprule", r"\midrule", r"\midrule", r"\bottomrule"]
    assert lines[rules[2] + 1].strip().startswith("c$")
    assert rules[3] == rules[2] + 2


def test_a_table_of_one_metric_is_headed_by_its_scenes() -> None:
    chosen = layout(rows="method", columns="scene", metrics=["psnr"])
    text = write(tables_of(RECORDS, chosen), Style())
    assert r"\caption{PSNR [dB] $\uparrow$, test views. Protocol standard (9f2c51ab), 1 or 3 views.}" in text
    assert cells(text)[0] == ["method", "fox", "garden", "fox 2", "mean of 3 scenes"]
    assert r"\label{tab:psnr-standard}" in text
    assert r"    b: no mean, because garden, fox 2 are missing\par" in text


def test_a_wide_table_spans_the_page_and_shrinks_to_it() -> None:
    narrow, wide = write([hostile_table(["a"])], Style()), write([hostile_table(["a" * 40])], Style())
    assert "graphicx" in wide
    assert r"\begin{table*}" in wide
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}" in wide
    table = hostile_table(["a"])
    two_columns = replace(table, columns=table.columns[:2])
    narrow = write([two_columns], Style())
    assert not re.search(r"graphicx|resizebox|table\*", narrow)


def test_table_longer_than_a_page_continues_under_its_number() -> None:
    views = [row(f"{index:04d}", psnr=20.0) for index in range(100)]
    text = write(per_view_tables([record(views)]), Style())
    assert len(re.findall(r"\\begin\{table", text)) == 3
    assert text.count(r"\addtocounter{table}{-1}") == 2
    assert len(re.findall(r"\\label", text)) == 1
    assert [line[0] for line in cells(text) if line[0] != "view"] == [view.name for view in views]


def test_labels_are_unique() -> None:
    other = replace(RECORDS[0], scene="fox", method="c", split="train")
    named = [replace(RECORDS[1], scene=scene, protocol={**RECORDS[1].protocol, "fingerprint": "1"}) for scene in "ÖO花"]
    records = [*RECORDS, other, *named]
    found = re.findall(r"\\label\{(.*)\}", write([*tables_of(records), *per_view_tables(records)], Style(label="t")))
    assert len(set(found)) == len(found)
    assert found[:4] == ["t:fox-standard", "t:garden-standard", "t:fox-2-standard", "t:fox-standard-train"]
    assert found[4:7] == ["t:o-standard", "t:o-standard-2", "t:standard"]
    assert found[7] == "t:fox-standard-views"


@pytest.mark.parametrize("label", ["a b", "50%", "x}", "é", "a,b"])
def test_an_invalid_label_is_an_error(label: str) -> None:
    with pytest.raises(InputError, match="--label must have only letters"):
        write([], Style(label=label))


# --- On paper -------------------------------------------------------------------------------------------------------


def compiled(folder: Path, text: str, options: str = "") -> str:
    """Return pdflatex's log of a paper with the tables and the packages that they name, and no others."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed")
    packages = "\n".join(re.findall(r"^%   (\\usepackage.*)$", text, flags=re.MULTILINE))
    (folder / "tables.tex").write_text(text, encoding="utf-8")
    (folder / "paper.tex").write_text(
        f"\\documentclass[{options}]{{article}}\n{packages}\n\\begin{{document}}\n\\input{{tables}}\n\\end{{document}}\n"
    )
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    message = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, message
    return message


def tables() -> Sequence[Table]:
    metrics = [record([row("0001", psnr=28.25)], method="a_1"), record([row("0001", psnr=27.5, ssim=0.9)], method="b")]
    chosen = layout(rows="method", columns="scene", metrics=["psnr"])
    long = per_view_tables([record([row(f"{index:04d}", psnr=20.0) for index in range(100)])])
    return [hostile_table(), hostile_table(), *tables_of(metrics), *tables_of(RECORDS, chosen), *long]


@pytest.mark.parametrize("options", ["", "twocolumn"])
@pytest.mark.parametrize("style", STYLES, ids=lambda style: style.mark)
def test_it_compiles(style: Style, options: str, tmp_path: Path) -> None:
    assert set("".join(MARKS)) == set("†‡§≈")
    message = compiled(tmp_path, write(tables(), style), options)
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000
    assert "Overfull" not in message
    assert "multiply defined" not in message
    assert "too large" not in message


def test_every_letter_compiles(tmp_path: Path) -> None:
    letters = [chr(code) for code in range(0x20, 0x2400) if chr(code).isprintable()]
    lines = ["".join(letters[start : start + 40]) for start in range(0, len(letters), 40)]
    compiled(tmp_path, write([hostile_table(lines, means=0)], Style()))


def test_text_that_is_not_escaped_does_not_compile(tmp_path: Path) -> None:
    text = write([hostile_table(["a_b"])], Style())
    with pytest.raises(AssertionError, match="Missing"):
        compiled(tmp_path, text.replace(r"a\_b", "a_b"))
