"""`nvs-eval protocols`: the list of named protocols, and the explanation of one, with all steps and metrics."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pinned import Pinned
from support.protocols import LIGHT, protocol_file

from nvs_eval.cli import main
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.report.words import comments_of, metric_words, preparation_words, summary_of

Printed = Callable[..., str]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nvs-eval"])
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*args: str, code: int = 0) -> str:
        capsys.readouterr()
        assert main(["protocols", *args]) == code
        result = capsys.readouterr()
        assert result.err == "" if code == 0 else result.out == ""
        return result.out or result.err

    return run


# --- The list -------------------------------------------------------------------------------------------------------


def test_the_list_has_one_line_per_protocol_starting_with_its_name(printed: Printed) -> None:
    lines = printed().splitlines()
    assert [line.split()[:2] for line in lines] == [[n, load_protocol(n).fingerprint] for n in named_protocols()]
    (standard,) = [line for line in lines if line.startswith("standard ")]
    assert standard.endswith("  The protocol of nvs-eval itself, and its default")
    for line in lines:
        assert re.fullmatch(r"\S+ +[0-9a-f]{8}  \S.*\S", line)
        assert len(line) < 140


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("# Mine.\nname: x", "Mine"),
        ("# A tool, someone/tool: metrics.py\n# (main), read at 1a2b.\n#\n# More.\nname: x", "A tool, someone/tool"),
        (
            "# The metrics of its models (a, b: models/*.py)\n# in training, read at v1.1.5 and later.\n",
            "The metrics of its models in training",
        ),
        ("# Version 1.1.5, and more. Second sentence.\n", "Version 1.1.5, and more"),
        ("name: x\n# late", ""),
        ("", ""),
    ],
)
def test_the_summary_is_the_start_of_the_first_comment(text: str, summary: str) -> None:
    assert summary_of(text) == summary


def test_comments_are_paragraphs() -> None:
    assert comments_of("# One\n# two.\n#\n#\n# Three.\n\n# Below the head.\n") == ["One two.", "Three."]


# --- One protocol ---------------------------------------------------------------------------------------------------


def test_a_protocol_is_explained(printed: Printed, tmp_path: Path, pinned: Pinned) -> None:
    protocol_file(tmp_path, f"# The code it follows,\n# briefly.\n#\n# How it was checked.\n{LIGHT}")
    fingerprint = load_protocol("light.yaml").fingerprint
    text = printed("light.yaml")
    assert text.startswith(f"light ({fingerprint})\n\nThe code it follows, briefly.\n\nHow it was checked.\n\n")
    for signature in load_protocol("light.yaml").signatures.values():
        assert f"     {signature}\n" in text
    pinned("protocols", text.replace(fingerprint, "FINGERPRINT"))


@pytest.mark.parametrize("name", named_protocols())
def test_each_named_protocol_is_explained(name: str, printed: Printed) -> None:
    protocol, text = load_protocol(name), printed(name)
    assert text.startswith(f"{name} ({protocol.fingerprint})\n")
    for metric, signature in protocol.signatures.items():
        assert f"\n  {metric} " in text
        assert f"     {signature}\n" in text
    for paragraph in comments_of(named_protocols()[name].read_text(encoding="utf-8")):
        assert f"\n{paragraph}\n" in text
    assert "plugin" not in text
    assert " has '" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_paragraphs_are_wrapped_in_a_terminal(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setattr("nvs_eval.cli.console.results", lambda: Console(file=sys.stdout, width=60, highlight=False))
    lines = printed("standard").splitlines()
    assert max(len(line) for line in lines if "|" not in line) <= 60
    assert len([line for line in lines if line.startswith("     ")]) > 4


def test_an_unknown_protocol_is_refused(printed: Printed) -> None:
    assert "Unknown protocol 'standart'. Did you mean 'standard'?" in printed("standart", code=2)


def test_a_file_cannot_steer_a_terminal(printed: Printed, tmp_path: Path) -> None:
    protocol_file(tmp_path, f"# \x1b[2J\n{LIGHT}", "a.yaml")
    # YAML itself refuses control characters.
    assert "is not YAML" in printed("a.yaml", code=2)
    protocol_file(tmp_path, f"# a\u202eb\n{LIGHT}", "a.yaml")
    assert r"a\u202eb" in printed("a.yaml")


# --- Sentences ------------------------------------------------------------------------------------------------------

DEFINITION: dict[str, Any] = {
    "alpha": "error",
    "colour_correction": "quadratic",
    "out_of_range": "keep",
    "quantise": {"render": "round", "reference": "none", "mask": "truncate"},
    "region": "right-half",
    "crop": 4,
    "mask": "bbox",
    "round_means": 5,
}


def test_each_step_is_a_sentence(pinned: Pinned) -> None:
    pinned("protocols", "\n".join(preparation_words(DEFINITION)))


@pytest.mark.parametrize("field", ["alpha", "colour_correction", "out_of_range", "region", "mask"])
def test_each_value_of_a_field_has_its_own_sentence(field: str) -> None:
    from typing import get_args, get_type_hints

    from nvs_eval.protocols import Protocol

    values = get_args(get_type_hints(Protocol)[field])
    explained = [tuple(preparation_words({**DEFINITION, field: value})) for value in values]
    assert len(set(explained)) == len(values)
    assert not [sentence for sentences in explained for sentence in sentences if sentence.startswith(f"{field} is '")]
    assert f"{field} is 'new'." in preparation_words({**DEFINITION, field: "new"})


def test_metrics_are_explained(pinned: Pinned) -> None:
    parts = {"psnr": "psnr", "ssim": "ssim", "lpips": "lpips_vgg"}
    sentences = [
        metric_words("mae", "mae|v1", {}),
        metric_words("cc_psnr", "psnr|range:255|v1", {}),
        metric_words("gmsd", "gmsd|order:1|v1", {}),
        metric_words("mipnerf_average", "", parts),
    ]
    pinned("protocols", "\n".join(sentences))
