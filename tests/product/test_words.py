"""The project's text is plain English: no sentence of the kind that CONTRIBUTING.md's style section rules out.

Looks at comments, docstrings and every other string of the code, at `--help` of every command, and at the docs.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from nvs_eval.cli.main import _COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
CODE = sorted(
    path
    for folder in ("nvs_eval", "plugins", "tests", "benchmarks", "examples")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(__file__)
)
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")})
DATA = sorted((ROOT / "configs").rglob("*.yaml"))

OPENINGS = re.compile(
    r"(?:Of|Whatever|Whoever|Likewise|Nor|As|What(?! is\b.*\?)(?!.*\?))\b(?! (?:far|soon|long|well) )"
)
"""Openings of a sentence whose subject is no thing of the field. A question may begin with What."""

PHRASES = re.compile(
    r"\b(?:came of|with which bits|is told|are told|who is told|it is said|is said to|are said to|be said|is meant|"
    r"had better|on what terms|not looked at|looked after|what is said|said so|of which kind|as mostly|"
    r"nor (?:is|are|does|do|can|could|has|have|was|were)|is welcome|goes on where|is there already|are there already|"
    r"by how much|else what|else the|in place of it|say another|what is shown as)\b",
    re.IGNORECASE,
)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, and its lines that begin a list item, a table cell or a parameter's description."""
    for paragraph in re.split(r"\n\s*\n|\n\s*[-*|#>]+\s", text):
        joined = " ".join(paragraph.split())
        joined = re.sub(r"^\w+: (?=[A-Z])", "", joined)
        parts = (re.sub(r"^[\s|#>*-]+", "", part) for part in re.split(r"(?<=[.!?:;])\s+(?=[A-Z])|\s\|\s", joined))
        yield from (part for part in parts if part)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings of a Python file with their lines; consecutive comment lines are one text."""
    source = path.read_text(encoding="utf-8")
    block: list[str] = []
    start = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if block and token.start[0] != last + 1:
                yield start, "\n".join(block)
                block = []
            start = start if block else token.start[0]
            block.append(token.string.lstrip("# "))
            last = token.start[0]
    if block:
        yield start, "\n".join(block)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value


def prose(page: Path) -> str:
    """A page without its code blocks and the code in its sentences."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"`[^`]*`", "X", re.sub(r"^ {4}.*$", "", text, flags=re.M))


def odd(text: str) -> list[str]:
    return [sentence for sentence in sentences(text) if OPENINGS.match(sentence) or PHRASES.search(sentence)]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Of the views, each n-th.", False),
        ("Use every n-th view. Of the bootstrap.", False),
        ("Return the scores.\n\nLikewise for masks.", False),
        ("What came of one protocol.", False),
        ("What does it cost?", True),
        ("Text.\n\n## What is compared\n\nText.", False),
        ("| name | Of each view |", False),
        ("on_view: is told each view when it is scored", False),
        ("The number of bootstrap resamples.", True),
    ],
)
def test_odd_sentences_are_recognised(text: str, plain: bool) -> None:
    assert (not odd(text)) == plain


def test_code_has_no_odd_sentence() -> None:
    found = [f"{path.relative_to(ROOT)}:{line}: {s}" for path in CODE for line, t in texts(path) for s in odd(t)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_help_has_no_odd_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*([command] if command else []), "--help"])
    text = re.sub(r"[│╭╮╰╯─]+", "\n", capsys.readouterr().out)
    assert len(text) > 200
    assert not odd(text)


def test_documentation_has_no_odd_sentence() -> None:
    found = [f"{page.relative_to(ROOT)}: {s}" for page in PAGES for s in odd(prose(page))]
    assert not found, "\n".join(found)


def test_comments_of_configs_have_no_odd_sentence() -> None:
    comments = ((path, "\n".join(re.findall(r"#\s?(.*)", path.read_text(encoding="utf-8")))) for path in DATA)
    found = [f"{path.relative_to(ROOT)}: {s}" for path, text in comments for s in odd(text)]
    assert not found, "\n".join(found)
