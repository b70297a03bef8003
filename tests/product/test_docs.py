"""Every code block of the documentation runs, or is parsed where a marker above it says what is missing to run it.

A marker is an HTML comment on the line above a block: `<!-- needs a trainer -->`, or a network, a cluster, a shell, a
tool (files of another program), a plugin (tests/product/test_examples.py runs those), a benchmark; `<!-- excerpt -->`
for a block that is part of a file.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from support.fox import make_fox

import nvs_eval
from nvs_eval.cli.main import main, parse

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "benchmarks/README.md")
PAGES = [*NAMES, *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md")))]
BLOCK = re.compile(r"(?:^<!-- ([^\n]*) -->\n)?^```([^\n]*)\n(.*?)^```$", re.M | re.S)
REASONS = {
    f"needs a {what}"
    for what in ("trainer", "network", "cluster", "shell", "tool", "plugin", "benchmark", "photograph")
} | {"excerpt"}
OTHER_PROGRAMS = ("pip", "make", "ns-train", "python", "git", "tensorboard", "pre-commit")
OUTPUT = ("", "text", "latex")
# A reader replaces names in capitals.
NAMED = {"RENDERS": "renders", "DIR": "test_images", "RECORDS": "nvs-eval-results", "CONFIG": "config.yml"}


class Block(NamedTuple):
    page: str
    line: int
    marker: str
    language: str
    title: str
    code: str


def blocks(page: str) -> Iterator[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        language, _, rest = match[2].partition(" ")
        title = re.search(r'title="([^"]*)"', rest)
        yield Block(page, text[: match.start()].count("\n") + 1, match[1] or "", language, title[1] if title else "",
                    match[3])  # fmt: skip


def of(*languages: str) -> list[object]:
    """The blocks of these languages as parameters of a test."""
    return [
        pytest.param(block, id=f"{block.page}:{block.line}")
        for page in PAGES
        for block in blocks(page)
        if block.language in languages
    ]


def commands(block: Block) -> list[str]:
    return [line.strip() for line in block.code.replace("\\\n", " ").splitlines() if line.strip()]


def arguments(command: str, names: dict[str, str]) -> list[str]:
    """The words of a command, without environment variables before it and without what is optional."""
    words = shlex.split(re.sub(r"\[.*?\]", "", re.sub(r"^\w+=\S+ ", "", command)), comments=True)
    return [names.get(word, word) for word in words]


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a reader would type the commands: images, records, and files that pages show."""
    folder = tmp_path_factory.mktemp("fox")
    make_fox(folder)
    for page in PAGES:
        for block in blocks(page):
            if block.title:
                (folder / Path(block.title).name).write_text(block.code, encoding="utf-8")
    return folder


def test_every_block_is_of_a_known_kind() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language in ("sh", "python", "yaml", "toml", "json", *OUTPUT), block
            assert not block.marker or block.marker in REASONS, block
        text = (ROOT / page).read_text(encoding="utf-8")
        assert text.count("\n```") % 2 == 0, page
        assert not re.search(r"^ {4}(nvs-eval|pip|make) ", text, re.M), f"{page}: commands stand in fenced blocks"


@pytest.mark.parametrize("block", of("sh"))
def test_commands_are_understood(block: Block) -> None:
    for command in commands(block):
        words = arguments(command, NAMED)
        if words[0] == "nvs-eval":
            parse(words[1:])
        else:
            assert words[0] in OTHER_PROGRAMS, command
            assert block.marker, f"{command} cannot be run here: say what it needs"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_runs_in_its_order(page: str, fox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Records of one page do not belong in the tables of another.
    monkeypatch.chdir(shutil.copytree(fox, tmp_path / "fox", symlinks=True))
    record = next(Path("nvs-eval-results").rglob("2500/*.json")).as_posix()
    names: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "sh" and not block.marker:
            for command in commands(block):
                words = arguments(command, {**NAMED, "RECORD": record})
                assert main([*words[1:], *(["--overwrite"] if "--output" in words else [])]) == 0, command
        elif block.language == "python" and not block.title:
            code = compile(block.code, f"{page}:{block.line}", "exec")
            if not block.marker:
                exec(code, names)


@pytest.mark.parametrize("block", of("yaml", "toml", "json"))
def test_files_are_understood(block: Block, tmp_path: Path) -> None:
    if block.language == "yaml":
        content = yaml.safe_load(block.code)
        if "metrics" in content and not block.marker:
            file = tmp_path / f"{content['name']}.yaml"
            file.write_text(block.code, encoding="utf-8")
            assert nvs_eval.load_protocol(file).name == content["name"]
    elif block.language == "json" and block.marker != "excerpt":
        json.loads(block.code)
    elif block.language == "toml":
        assert re.search(r"^\[.*\]$", block.code, re.M)


def test_api_page_has_every_public_name() -> None:
    listed = re.findall(r"^::: nvs_eval\.(\w+)$", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), re.M)
    assert sorted(listed) == sorted(nvs_eval.__all__)


def test_readme_is_one_screen_of_links() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    linked = {link.split("#")[0] for line in lines for link in re.findall(r"\]\(([^)]+)\)", line) if ":" not in link}
    assert not [link for link in linked if not (ROOT / link).exists()]


def test_titled_blocks_are_the_files_that_they_name() -> None:
    for page in PAGES:
        for block in blocks(page):
            if block.title:
                assert block.code == (ROOT / block.title).read_text(encoding="utf-8"), block.title
