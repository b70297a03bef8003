"""Sentences that commands print, pinned in one file per command, so that wording is changed in one place.

`pytest --update-words` writes the current sentences to tests/golden/words/<command>.yaml. Read the diff before you
commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "words"


class Pinned:
    """Compare the texts of one test with those pinned under its name, in the order of the calls."""

    def __init__(self, test: str, folder: Path, *, update: bool) -> None:
        self.test, self.folder, self.update = test, folder, update
        self.calls: dict[str, int] = {}

    def __call__(self, command: str, text: object) -> None:
        """Compare a text with its pinned version. The temporary folder of the test is replaced by `~`.

        Args:
            command: command that prints the text, which selects the file.
            text: text, or an error that contains it.
        """
        self.calls[command] = self.calls.get(command, 0) + 1
        key = self.test + (f" {self.calls[command]}" if self.calls[command] > 1 else "")
        actual = re.sub(rf"(?:/private)?{re.escape(str(self.folder))}", "~", str(text))
        file = FOLDER / f"{command}.yaml"
        texts = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if self.update and texts.get(key) != actual:
            texts[key] = actual
            FOLDER.mkdir(parents=True, exist_ok=True)
            content = yaml.dump(texts, Dumper=_Dumper, allow_unicode=True, width=10**6)
            file.write_text(content, encoding="utf-8")
        assert key in texts, f"{key} is not in {file.name}. Run pytest with --update-words."
        assert actual == texts[key]


class _Dumper(yaml.SafeDumper):
    """YAML dumper that writes texts of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
