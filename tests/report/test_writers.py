"""All formats have the same content, in full precision for programs, and names are escaped."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from errno import ENOSPC
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from support.commands import Said
from support.records import record, row
from support.tables import NAMES, hostile_table, layout, table_of_rows, with_rows

import nvs_eval
from nvs_eval.errors import InputError, printable
from nvs_eval.records.files import read_records
from nvs_eval.records.record import Record, write_record
from nvs_eval.report.frames import COLUMNS, LONG
from nvs_eval.report.tables.table import Cell, Column, Table
from nvs_eval.report.tables.tables import per_view_tables, tables_of
from nvs_eval.report.writers import FORMATS, Style, find_writer
from nvs_eval.report.writers.registry import PALETTES
from nvs_eval.system import files

SCORES = {"psnr": 28.123456789012345, "ssim": 0.1 + 0.2}
HOSTILE = 'a_b & <script>"x"</script>, 50%\r\n$#'


def written(tables: list[Table], name: str, **style: Any) -> str:
    return find_writer(name)(tables, Style(**style))


def uneven() -> list[Record]:
    """Return records of two scenes, with a metric that some lack and an infinite score."""
    first = record([row("0001", **SCORES), row("0002", psnr=math.inf, ssim=1.0)], method=HOSTILE, run="r,1", step=7)
    second = record([row("0001", psnr=20.0), row("0002", psnr=22.0)], method="=b", run="r,1", step=70)
    return [first, second, replace(second, scene="garden")]


# --- All of them ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_whole_lines_and_the_same_again(name: str) -> None:
    tables = [*tables_of(uneven()), *per_view_tables(uneven())]
    text = written(tables, name)
    assert text.endswith("\n")
    assert text == written(tables, name)
    assert "\x1b" not in text
    assert "garden" in text


@pytest.mark.parametrize("name", FORMATS)
def test_no_tables_are_no_error(name: str) -> None:
    assert isinstance(written([], name), str)


def test_an_unknown_format() -> None:
    with pytest.raises(InputError, match=r"Unknown format 'latx'. Did you mean 'latex'\? Known: csv, html, json,"):
        find_writer("latx")


# --- Markdown -------------------------------------------------------------------------------------------------------


def rendered(text: str) -> list[Token]:
    return MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)


def plain(token: Token) -> str:
    """Return the visible text of a token."""
    return "".join(child.content for child in token.children or [] if child.type in ("text", "code_inline"))


def inlines(text: str, kind: str) -> list[Token]:
    """Return the texts of all tokens of a kind."""
    tokens = rendered(text)
    return [following for token, following in itertools.pairwise(tokens) if token.type == kind]


def test_markdown_has_the_content_of_the_table() -> None:
    table = hostile_table()
    text = written([table], "markdown")
    count = len(table.columns)
    assert [plain(token) for token in inlines(text, "th_open")] == [column.heading for column in table.columns]
    shown = [plain(token) for token in inlines(text, "td_open")]
    assert shown[::count] == [f"{cells[0].text} {cells[0].mark}".strip() for cells in table.rows]
    assert shown[2::count] == [f"{cells[2].text}{cells[2].mark}" for cells in table.rows]
    assert shown[6] == "12 (+0.1)"
    assert [plain(token) for token in inlines(text, "heading_open")] == [table.title]
    assert [plain(token) for token in inlines(text, "paragraph_open")] == [
        f"{table.caption}, 7 or 9 views",
        *table.notes,
        *table.signatures,
    ]


def test_markdown_escapes_names() -> None:
    names = [with_rows(hostile_table(), [[*cells[:2], *[Cell("")] * 5] for cells in hostile_table().rows])]
    children = [child for token in inlines(written(names, "markdown"), "td_open") for child in token.children or []]
    assert {child.type for child in children} == {"text"}
    assert not re.search(r"www\.|https?:|@", written(names, "markdown"))


def test_markdown_sets_numbers_to_the_right() -> None:
    lines = written(tables_of(uneven()), "markdown").splitlines()
    assert lines[3] == "| :-- | :-- | --: | --: | --: | --: |"


@pytest.mark.parametrize("mark", ["colour", "colour-blind", "bold", "none"])
def test_markdown_marks_ranks_with_letters(mark: str) -> None:
    records = [
        record([row("0001", psnr=value)], method=name)
        for name, value in {"a": 3.0, "b": 3.0, "c": 1.0, "d": 0.0, "e": 2.0}.items()
    ]
    text = written(tables_of(records, layout(metrics=["psnr"])), "markdown", mark=mark)
    shown = [line.split(" | ")[1].removesuffix(" |") for line in text.splitlines() if line.startswith("| ")][2:]
    marked = ["**3.00**", "**3.00**", "1.00", "0.00", "*2.00*"]
    assert shown == (["3.00", "3.00", "1.00", "0.00", "2.00"] if mark == "none" else marked)
    two = tables_of(records[2:], layout(metrics=["psnr"]))
    assert ("<ins>1.00</ins>" in written(two, "markdown", mark=mark)) == (mark != "none")


def test_markdown_blocks_are_separated_as_github_needs() -> None:
    text = written(tables_of(uneven()), "markdown")
    assert "\n\n| method |" in text
    assert " |\n\nprotocol standard" in text
    assert "</summary>\n\n- `psnr|range:1|q:round8|v1`\n" in text
    assert "`\n\n</details>\n\n### garden" in text


# --- CSV ------------------------------------------------------------------------------------------------------------


def test_csv_has_everything_in_full_and_names_as_they_are() -> None:
    text = written(tables_of(uneven()), "csv")
    assert text.splitlines()[0] == "scene,split,protocol,fingerprint,method,run,step,psnr,ssim,views"
    first, second, third = csv.DictReader(io.StringIO(text, newline=""))
    assert (first["method"], second["method"], first["run"]) == (HOSTILE, "=b", "r,1")
    assert (float(first["ssim"]), first["psnr"]) == ((SCORES["ssim"] + 1) / 2, "inf")
    assert (second["psnr"], second["ssim"], third["scene"]) == ("21.0", "", "garden")
    assert "\r" not in text.replace(HOSTILE.replace('"', '""'), "")


def test_csv_drops_rows_of_means_and_keeps_their_columns() -> None:
    of_both = [each for each in uneven() if each.method == "=b"]
    by_row = written(tables_of(of_both, layout(rows="scene")), "csv")
    assert [line["scene"] for line in csv.DictReader(io.StringIO(by_row))] == ["fox", "garden"]
    by_column = written(tables_of(of_both, layout(rows="method", columns="scene")), "csv")
    assert by_column.splitlines() == [
        "split,protocol,fingerprint,metric,method,step,fox,garden,mean of 2 scenes",
        "test,standard,9f2c51ab,psnr,=b,70,21.0,21.0,21.0",
    ]


def test_csv_has_marks_of_rows() -> None:
    odd = replace(uneven()[1], method="odd", views=[row("0003", psnr=20.0)])
    lines = list(csv.DictReader(io.StringIO(written(tables_of([*uneven()[:2], odd]), "csv"))))
    assert [line["mark"] for line in lines] == ["", "", "†"]


def test_csv_has_marks_of_numbers() -> None:
    columns = [Column("method", numeric=False), Column("psnr", "psnr"), Column("ssim", "ssim"), Column("views")]
    cells = [
        [Cell("a", "a"), Cell("1", 1.0), Cell("2", 2.0), Cell("7", 7)],
        [Cell("b", "b", mark="‡"), Cell("1", 1.0), Cell("2", 2.0, mark="§"), Cell("7", 7)],
        [Cell("c", "c"), Cell("1", 1.0), Cell("2", 2.0, mark="≈"), Cell("7", 7)],
    ]
    table = table_of_rows("", columns, cells, "")
    assert written([table], "csv").splitlines() == [
        "method,psnr,ssim,ssim_mark,views,mark",
        "a,1.0,2.0,,7,",
        "b,1.0,2.0,§,7,‡",
        "c,1.0,2.0,≈,7,",
    ]
    named = [columns[0], Column("ssim_mark"), Column("ssim"), Column("mark")]
    assert written([table_of_rows("", named, cells, "")], "csv").splitlines()[0] == (
        "method,ssim_mark,ssim,ssim_mark_,mark,mark_"
    )
    assert written([table_of_rows("", columns, cells[:1], "")], "csv").splitlines()[0] == "method,psnr,ssim,views"


def test_csv_distinguishes_scenes_from_shared_values() -> None:
    records = [replace(uneven()[1], scene=scene) for scene in ("method", "split", "step")]
    (table,) = tables_of(records, layout(rows="method", columns="scene"))
    header = written([table], "csv").splitlines()[0]
    assert header.endswith("method,step,method (2),split (2),step (2),mean of 3 scenes")
    (plain,) = json.loads(written([table], "json"))["tables"]
    assert [column["name"] for column in plain["columns"]] == header.split(",")[4:]


@pytest.mark.parametrize("name", [*NAMES, HOSTILE, " x ", "\r", '"', "a,b", "\t"])
def test_names_survive_csv(name: str) -> None:
    columns = [
        Column("method", numeric=False, cells=[Cell("", name)]),
        Column("psnr", "psnr", cells=[Cell("1", 1.0)]),
    ]
    table = Table("", columns, "")
    assert list(csv.reader(io.StringIO(written([table], "csv"), newline=""))) == [["method", "psnr"], [name, "1.0"]]


def test_pandas_reads_csv_with_the_right_types() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    wide = pandas.read_csv(io.StringIO(written(tables_of(uneven()), "csv")), dtype={"fingerprint": str})
    assert {name: kind.kind for name, kind in wide.dtypes.items()} == {
        **dict.fromkeys(["scene", "split", "protocol", "fingerprint", "method", "run"], "O"),
        **dict.fromkeys(["step", "views"], "i"),
        **dict.fromkeys(["psnr", "ssim"], "f"),
    }
    assert wide["method"].tolist() == [HOSTILE, "=b", "=b"]
    assert wide["psnr"].tolist() == [math.inf, 21.0, 21.0]
    assert wide["ssim"].isna().tolist() == [False, True, True]


def test_pandas_reads_the_long_form() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    records = uneven()
    long = pandas.read_csv(io.StringIO(long_of("csv", records)), dtype={"view": str}, float_precision="round_trip")
    assert tuple(long.columns) == COLUMNS
    assert long["value"].tolist() == values(records)
    assert (long["higher_is_better"].dtype.kind, long["step"].dtype.kind, long["value"].dtype.kind) == ("b", "i", "f")
    assert long["view"].tolist()[:3] == ["0001", "0001", "0002"]
    means = long.groupby(["scene", "method", "metric"])["value"].mean()
    assert means["fox", "=b", "psnr"] == 21.0


# --- The long form --------------------------------------------------------------------------------------------------


def long_of(name: str, records: list[Record]) -> str:
    return "".join(LONG[name](records))


def values(records: list[Record]) -> list[float]:
    return [each.scores[metric] for one in records for each in one.views for metric in one.metrics]


def test_the_long_form_has_a_row_per_view_and_metric() -> None:
    lines = list(csv.reader(io.StringIO(long_of("csv", uneven()), newline="")))
    assert tuple(lines[0]) == COLUMNS
    assert lines[1] == [
        "fox", HOSTILE, "r,1", "7", "test", "standard", "9f2c51ab", "0001", "psnr", repr(SCORES["psnr"]), "dB", "true",
    ]  # fmt: skip
    assert lines[3][7:10] == ["0002", "psnr", "inf"]
    assert [float(line[9]) for line in lines[1:]] == values(uneven())
    assert long_of("csv", [record()]).splitlines()[1].startswith("fox,nerfacto,,,test,")


def test_values_survive_the_long_form_as_json() -> None:
    text = long_of("json", uneven())
    plain = json.loads(text, parse_constant=pytest.fail)
    assert plain["nvs_eval_long"] == 1
    assert all(tuple(each) == COLUMNS for each in plain["rows"])
    assert plain["rows"][0]["higher_is_better"] is True
    assert (plain["rows"][0]["method"], plain["rows"][0]["step"]) == (HOSTILE, 7)
    assert [float(each["value"]) for each in plain["rows"]] == values(uneven())
    assert [each["value"] for each in plain["rows"]].count("inf") == 1
    assert list(plain["signatures"][0].values()) == ["9f2c51ab", "psnr", "psnr|range:1|q:round8|v1"]
    assert len(text.splitlines()) == 5 + 2 + len(plain["rows"])


@pytest.mark.parametrize("name", LONG)
def test_the_long_form_is_written_record_by_record(name: str) -> None:
    parts = LONG[name](uneven())
    assert "garden" not in "".join(itertools.islice(parts, 2))
    assert "garden" in "".join(parts)


def test_the_long_form_of_records_without_scores_is_json() -> None:
    none = replace(uneven()[0], metrics={})
    for records in ([], [none], [none, uneven()[1], none, uneven()[2], none]):
        assert len(json.loads(long_of("json", records))["rows"]) == (4 if len(records) == 5 else 0)


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_json_has_values_in_full_and_as_they_are_shown() -> None:
    text = written(tables_of(uneven()), "json")
    plain = json.loads(text, parse_constant=pytest.fail)
    assert set(plain) == {"nvs_eval_tables", "tables"}
    fox, garden = plain["tables"]
    assert fox["title"] == "fox, test views"
    assert garden["shared"] == {
        "split": "test",
        "protocol": "standard",
        "fingerprint": "9f2c51ab",
        "scene": "garden",
    }
    first, second = fox["rows"]
    assert first["psnr"] == {"value": "inf", "text": "inf", "rank": 1, "mark": ""}
    assert first["ssim"] == {"value": (SCORES["ssim"] + 1) / 2, "text": "0.650", "rank": None, "mark": ""}
    assert second["ssim"] == {"value": None, "text": "", "rank": None, "mark": ""}
    assert (first["method"]["value"], first["step"]["value"]) == (HOSTILE, 7)
    assert fox["columns"][3] == {"name": "psnr", "metric": "psnr", "unit": "dB", "higher_is_better": True}
    assert (fox["views"], fox["caption"], fox["means"]) == ([2], "protocol standard (9f2c51ab)", [])
    assert fox["signatures"][0] == "psnr|range:1|q:round8|v1"
    assert fox["notes"] == [f"{printable(HOSTILE)}/r,1/7: PSNR is inf: view 0002 equals its reference"]


def test_json_has_means_separately() -> None:
    both = [each for each in uneven() if each.method == "=b"]
    (plain,) = json.loads(written(tables_of(both, layout(rows="scene")), "json"))["tables"]
    assert [each["scene"]["value"] for each in plain["rows"]] == ["fox", "garden"]
    assert [each["scene"]["value"] for each in plain["means"]] == ["mean of 2 scenes"]


# --- HTML -----------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Parser of a page: cells of each row, texts of lists and paragraphs, and all tags and attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.rows: list[list[str]] = []
        self.classes: list[list[str]] = []
        self.message: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
            self.classes.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.classes[-1].append(dict(attrs).get("class") or "")
        elif tag in ("h2", "p", "li"):
            self.message.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data
        elif {"h2", "p", "li"} & set(self.open):
            self.message[-1] += data


def test_html_has_the_content_of_the_table() -> None:
    table = hostile_table()
    page = Page(written([table], "html"))
    assert [cell.replace("\xa0", " ") for cell in page.rows[0]] == [column.heading for column in table.columns]
    assert [cells[0] for cells in page.rows[1:]] == [cells[0].text + cells[0].mark for cells in table.rows]
    assert [cells[2] for cells in page.rows[2:]] == [cells[2].text + cells[2].mark for cells in table.rows[1:]]
    assert page.rows[1][2] == "∞"
    assert page.rows[1][5:] == ["", "12 (+0.1)"]
    assert page.message == [table.title, f"{table.caption}, 7 or 9 views", *table.notes, *table.signatures]


def test_html_has_no_scripts_or_external_files() -> None:
    page = Page(written([hostile_table()], "html"))
    assert {"table", "style", "details"} <= set(page.tags)
    assert {"script", "link", "img", "iframe", "a", "input", "b"}.isdisjoint(page.tags)
    assert {name for name, _ in page.attributes}.isdisjoint({"src", "href", "style", "onclick"})
    assert "url(" not in written([hostile_table()], "html")


@pytest.mark.parametrize("mark", ["colour", "colour-blind", "bold", "none"])
def test_html_marks_ranks(mark: str) -> None:
    records = [
        record([row("0001", psnr=value)], method=name)
        for name, value in {"a": 3.0, "b": 3.0, "c": 1.0, "d": 2.0}.items()
    ]
    text = written(tables_of(records, layout(metrics=["psnr"])), "html", mark=mark)
    ranks = ["n r1", "n r1", "n", "n r3"]
    assert [cells[1] for cells in Page(text).classes[1:]] == (["n"] * 4 if mark == "none" else ranks)
    assert ("font-weight: 700" in text) == (mark in ("bold", "none"))
    assert all(f"#{colour}" in text for colour in (PALETTES[mark].dark if mark in PALETTES else ()))


def test_html_separates_means() -> None:
    assert Page(written([hostile_table(means=1)], "html")).tags.count("tbody") == 2
    assert Page(written([hostile_table(means=0)], "html")).tags.count("tbody") == 1


# --- Colours --------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Return the luminance relative to white, as in WCAG 2 and CIE 1931."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def lightness(colour: str) -> float:
    """Return CIE L*, from 0 to 100."""
    return 116 * luminance(colour) ** (1 / 3) - 16


def test_lightness_is_that_of_known_colours() -> None:
    assert lightness("FFFFFF") == pytest.approx(100)
    assert lightness("777777") == pytest.approx(50.03, abs=0.01)


@pytest.mark.parametrize("mark", PALETTES)
def test_letters_are_read_on_every_colour(mark: str) -> None:
    palette = PALETTES[mark]
    assert all((luminance(colour) + 0.05) / (luminance("111111") + 0.05) > 7 for colour in palette.light)
    assert all(1.05 / (luminance(colour) + 0.05) > 5 for colour in palette.dark)


def test_shades_of_blue_are_distinct_without_colour() -> None:
    palette = PALETTES["colour-blind"]
    for shades, paper in ((palette.light, "FFFFFF"), (palette.dark, "15181C")):
        steps = [lightness(shade) for shade in (*shades, paper)]
        assert all(abs(a - b) > 8 for a, b in itertools.pairwise(steps))


# --- From the command line ------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for index, each in enumerate(uneven()):
        write_record(tmp_path / "records" / f"{index}.json", each)
    return tmp_path


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_has_the_printed_text(name: str, folder: Path, cli: Callable[..., Said]) -> None:
    printed = cli("table", "records", "--per-view", "--format", name)
    assert (printed.code, printed.err) == (0, "")
    result = cli("table", "records", "--per-view", "--format", name, "--output", "out.txt")
    assert (result.code, result.out, result.err) == (0, "", "Written: out.txt\n")
    assert Path("out.txt").read_bytes() == printed.out.encode()
    again = cli("table", "records", "--per-view", "--format", name, "--output", "out.txt")
    assert (again.code, again.out, again.err) == (0, "", "Unchanged: out.txt\n")


def test_a_file_of_another_content_is_replaced_only_with_the_option(
    folder: Path, cli: Callable[..., Said], refused: Callable[..., str]
) -> None:
    command = ("table", "records", "--output", "out.txt")
    assert cli(*command).code == 0
    content = Path("out.txt").read_bytes()
    for other in (content[:-1], content[:-1] + b"x"):
        Path("out.txt").write_bytes(other)
        assert refused(*command) == "out.txt already exists. Use another --output, or --overwrite."
        assert Path("out.txt").read_bytes() == other
    assert cli(*command, "--overwrite").err == "Written: out.txt\n"
    assert Path("out.txt").read_bytes() == content


def test_the_long_form_from_the_command_line(folder: Path, cli: Callable[..., Said]) -> None:
    assert len(json.loads(cli("table", "records", "--format", "json", "--long").out)["rows"]) == 8
    lines = list(csv.DictReader(io.StringIO(cli("table", "records", "--format", "csv", "--long").out, newline="")))
    assert len(lines) == 8


def test_csv_has_means_or_views_and_never_both(folder: Path, cli: Callable[..., Said]) -> None:
    rows = long_rows(cli("table", "records", "--format", "csv", "--per-view"))
    assert [(row["scene"], row["method"], row["view"], row["psnr"]) for row in rows] == [
        ("fox", "=b", "0001", "20.0"),
        ("fox", "=b", "0002", "22.0"),
        ("fox", HOSTILE, "0001", repr(SCORES["psnr"])),
        ("fox", HOSTILE, "0002", "inf"),
        ("garden", "=b", "0001", "20.0"),
        ("garden", "=b", "0002", "22.0"),
    ]
    message = cli("table", "records", "--format", "csv", "--per-view").out
    assert nvs_eval.table(read_records("records"), format="csv", per_view=True) == message
    assert "view" not in long_rows(cli("table", "records", "--format", "csv"))[0]
    assert len(json.loads(cli("table", "records", "--format", "json", "--per-view").out)["tables"]) == 4


def long_rows(result: Said) -> list[dict[str, str]]:
    assert (result.code, result.err) == (0, "")
    return list(csv.DictReader(io.StringIO(result.out, newline="")))


def test_long_form_has_the_chosen_metrics_in_their_order(folder: Path, cli: Callable[..., Said]) -> None:
    long = ("table", "records", "--format", "csv", "--long")
    assert {line["metric"] for line in long_rows(cli(*long, "--metrics", "psnr"))} == {"psnr"}
    assert len(long_rows(cli(*long, "--metrics", "psnr"))) == 6
    both = long_rows(cli(*long, "--metrics", "ssim", "psnr"))
    assert [line["metric"] for line in both if line["method"] == HOSTILE] == ["ssim", "psnr"] * 2
    plain = json.loads(cli("table", "records", "--format", "json", "--long", "--metrics", "ssim").out)
    assert [each["metric"] for each in plain["signatures"]] == ["ssim"]
    assert [each["value"] for each in plain["rows"]] == [SCORES["ssim"], 1.0]


@pytest.mark.parametrize("name", ["pnsr", "views"])
def test_the_long_form_of_an_unknown_metric_is_an_error(name: str, folder: Path, refused: Callable[..., str]) -> None:
    message = refused("table", "records", "--format", "csv", "--long", "--metrics", "psnr", name)
    assert message.startswith(f"Unknown metric {name!r}.")
    assert message.endswith("Known: psnr, ssim.")


def test_the_long_form_of_a_suite_has_its_scenes_by_their_names(
    folder: Path, cli: Callable[..., Said], refused: Callable[..., str]
) -> None:
    scenes = "scenes: [{name: forest, folder: fox, factor: 1, aliases: [fox]}]"
    Path("mine.yaml").write_text(f"name: mine\ntitle: Mine\nsource: none\nsplit: test\n{scenes}\n")
    rows = long_rows(cli("table", "records", "--format", "csv", "--long", "--suite", "mine.yaml"))
    assert [line["scene"] for line in rows] == ["forest"] * 6
    assert "Records must be of scenes of llff" in refused(
        "table", "records", "--format", "csv", "--long", "--suite", "llff"
    )


def test_the_long_form_of_a_protocol(folder: Path, cli: Callable[..., Said]) -> None:
    other = {**uneven()[0].protocol, "name": "other", "fingerprint": "00000000"}
    write_record(folder / "records" / "other.json", replace(uneven()[0], protocol=other))
    rows = long_rows(cli("table", "records", "--format", "csv", "--long", "--protocol", "other"))
    assert {line["fingerprint"] for line in rows} == {"00000000"}


@pytest.mark.parametrize(
    "option",
    [
        ("--rows", "method"),
        ("--columns", "scene"),
        ("--per-scene",),
        ("--runs", "mean"),
        ("--mean", "views"),
        ("--sort", "psnr"),
        ("--decimals", "psnr=1"),
        ("--with-published", "3dgs"),
        ("--tied",),
        ("--per-view",),
        ("--mark", "bold"),
        ("--label", "x"),
    ],
    ids=lambda option: option[0],
)
def test_options_of_tables_are_errors_with_the_long_form(
    option: tuple[str, ...], folder: Path, refused: Callable[..., str], cli: Callable[..., Said]
) -> None:
    message = refused("table", "records", "--format", "csv", "--long", *option)
    assert f"cannot be combined with {option[0]}," in message
    assert len(long_rows(cli("table", "records", "--format", "csv", "--long", "--allow-mixed"))) == 8


def test_a_long_file_is_written_completely_or_not_at_all(
    folder: Path, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_moved", full)
    Path("scores.csv").write_text("of before")
    message = refused("table", "records", "--format", "csv", "--long", "--output", "scores.csv", "--overwrite")
    assert message.startswith("scores.csv cannot be written: No space left on device")
    assert Path("scores.csv").read_text() == "of before"
    assert sorted(path.name for path in folder.iterdir()) == ["records", "scores.csv"]


def test_an_unknown_format_lists_the_known_ones(folder: Path, refused: Callable[..., str]) -> None:
    message = refused("table", "records", "--format", "markdwon")
    assert message == (
        "Unknown format 'markdwon'. Did you mean 'markdown'? Known: csv, html, json, latex, markdown, text."
    )


def test_a_format_of_a_plugin(folder: Path, cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        name, dist = "titles", None

        def load(self) -> Callable[..., str]:
            return lambda tables, style: "".join(f"{table.title}, {style.mark}\n" for table in tables)

    monkeypatch.setattr("nvs_eval.system.plugins.entry_points", lambda group: [Entry()] * (group == "nvs_eval.writers"))
    result = cli("table", "records", "--format", "titles", "--mark", "bold")
    assert result.out == "fox, test views, bold\ngarden, test views, bold\n"


def test_a_table_as_json_is_not_a_record(folder: Path, refused: Callable[..., str], cli: Callable[..., Said]) -> None:
    cli("table", "records", "--format", "json", "--output", "tables.json")
    assert "is not a record of nvs-eval" in refused("table", "tables.json")
