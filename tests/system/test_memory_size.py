"""Amounts of memory as a user writes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.helpers import Said, protocol_of

import nvs_eval
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import Terms
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.system.memory import parse_memory

SCORE = ("score", "garden/ours", "--reference", "garden/gt", "--protocol", "light.yaml")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2_000_000_000),
        ("1500MB", 1_500_000_000),
        ("0.5GiB", 2**29),
        (".5 gib", 2**29),
        ("2.GB", 2_000_000_000),
        ("12 kB", 12_000),
        ("3KiB", 3 * 2**10),
        ("1.5TB", 1_500_000_000_000),
        ("2TiB", 2**41),
        # A letter alone is a power of 1024, as to other tools.
        ("512M", 2**29),
        ("4g", 2**32),
        ("1000B", 1000),
        (" 1b ", 1),
        ("9" * 400 + "B", int("9" * 400)),
    ],
)
def test_a_size_is_a_number_and_its_unit(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2",
        "2000000000",
        "GB",
        "-2GB",
        "0GB",
        "0.4B",
        "2XB",
        "2GBs",
        "2iB",
        "1e9B",
        "infGB",
        "nanMB",
        "1,5GB",
        "2 G B",
    ],
)
def test_what_is_no_size_says_what_is_needed(text: str) -> None:
    with pytest.raises(InputError) as error:
        parse_memory(text)
    assert str(error.value) == (
        f"--max-memory is {text!r}, and a size above 0 with its unit is needed, such as 2GB, 1500MB or 0.5GiB."
    )


# --- On its way to the scorer ---------------------------------------------------------------------------------------


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What the scorers that were made since may take."""
    found: list[int | None] = []
    check = Scorer.__post_init__

    def seen(self: Scorer) -> None:
        found.append(self.max_memory)
        check(self)

    monkeypatch.setattr(Scorer, "__post_init__", seen)
    return found


@pytest.mark.usefixtures("here")
def test_the_option_goes_to_the_scorer_and_changes_no_name_of_a_record(
    cli: Callable[..., Said], limits: list[int | None]
) -> None:
    for options in ((), ("--max-memory", "0.5GiB")):
        assert cli(*SCORE, *options).code == 0
    record = "nvs-eval-results/garden/ours/final"
    assert cli("rescore", record, "--protocol", "light.yaml", "--overwrite", "--max-memory", "2GB").code == 0
    assert limits == [None, 2**29, 2_000_000_000]
    assert len(list(Path(record).glob("*.json"))) == 1


@pytest.mark.usefixtures("here")
def test_a_suite_takes_it_from_its_file_or_the_command(cli: Callable[..., Said], limits: list[int | None]) -> None:
    text = "scenes: [garden]\nprotocol: light.yaml\nmax_memory: 3GB\n"
    text += "methods: {ours: {score: '{scene}/ours', reference: '{scene}/gt'}}\n"
    Path("suite.yaml").write_text(text, encoding="utf-8")
    assert cli("suite", "suite.yaml").code == 0
    assert cli("suite", "suite.yaml", "--overwrite", "--max-memory", "4GB").code == 0
    assert limits == [3 * 10**9, 4 * 10**9]
    wrong = cli("suite", "suite.yaml", "--max-memory", "4")
    assert (wrong.code, limits[2:]) == (2, [])
    assert "--max-memory is '4', and a size" in wrong.err


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("given", "size"), [(None, None), (123_456_789, 123_456_789), ("2GB", 2 * 10**9)])
def test_from_python_it_is_bytes_or_a_text(given: Any, size: int | None, limits: list[int | None]) -> None:
    nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml", max_memory=given)
    assert limits == [size]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("2", "^--max-memory is '2', and a size above 0 with its unit is needed"),
        (0, "^--max-memory is '0B', and a size above 0"),
        (-5, "^--max-memory is '-5B', and a size above 0"),
        (2.5, "^max_memory is 2.5, and a whole number or a text or None is needed"),
        (True, "^max_memory is True, and a whole number or a text or None is needed"),
    ],
)
def test_from_python_what_is_no_size_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        nvs_eval.score("garden/ours", reference="garden/gt", protocol="light.yaml", max_memory=given)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("options", [("--max-memory", "2"), ("--max-memory", "lots")])
def test_the_command_refuses_what_is_no_size(options: tuple[str, str], refused: Callable[..., str]) -> None:
    assert refused(*SCORE, *options).startswith(f"--max-memory is {options[1]!r}, and a size above 0")


def test_it_is_no_part_of_a_protocol() -> None:
    terms = Terms(max_memory=10**9)
    protocol = protocol_of("""{name: a, alpha: drop, colour_correction: none, out_of_range: clamp, region: full,
        quantise: {render: none, reference: none, mask: none}, crop: 0, mask: none, metrics: {mae: {}},
        round_means: null}""")
    scorer = terms.scorer([protocol])
    assert (scorer.max_memory, scorer.device.type) == (10**9, "cuda" if torch.cuda.is_available() else "cpu")
    assert [each.fingerprint for each in scorer.protocols] == [protocol.fingerprint]
