"""Sentences that commands print, pinned in one file per command, so that a wording is changed in one place.

`pytest --update-words` writes what the commands say now into tests/golden/words/<command>.yaml: read the difference
before you commit it.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "words"


class Pinned:
    """Compares the texts of one test with those that are pinned under its name, in the order of the calls."""

    def __init__(self, test: str, folder: Path, *, update: bool) -> None:
        self.test, self.folder, self.update = test, folder, update
        self.calls: dict[str, int] = {}

    def __call__(self, command: str, text: object) -> None:
        """Check a text that a command, or the function of its name, gives; the test's own folder is shown as `~`."""
        self.calls[command] = self.calls.get(command, 0) + 1
        key = self.test + (f" {self.calls[command]}" if self.calls[command] > 1 else "")
        said = re.sub(rf"(?:/private)?{re.escape(str(self.folder))}", "~", str(text))
        file = FOLDER / f"{command}.yaml"
        known = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if self.update and known.get(key) != said:
            known[key] = said
            FOLDER.mkdir(parents=True, exist_ok=True)
            content = yaml.dump(known, Dumper=_Dumper, allow_unicode=True, width=10**6)
            file.write_text(content, encoding="utf-8")
        assert key in known, f"{key} is not in {file.name}: run pytest with --update-words"
        assert said == known[key]


class _Dumper(yaml.SafeDumper):
    """Writes a text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text.rstrip("\n") else None)


_Dumper.add_representer(str, _text)
