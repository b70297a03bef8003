"""Sentences on the causes of a difference in PSNR."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import t
from support.commands import Said
from support.records import under
from support.two_sides import base, contenders, of

from nvs_eval.comparison.compare import compare_contenders
from nvs_eval.comparison.model import Comparison
from nvs_eval.records.causes import (
    Causes,
    ColourCause,
    SharpnessCause,
    ViewCauses,
    causes_file,
    sha256_of_result,
    write_causes,
)
from nvs_eval.records.joint import joint
from nvs_eval.records.known_causes import KnownCauses
from nvs_eval.records.record import Record, record_file, write_record

SPREAD = [0.02 * math.sin(2.0 * index) for index in range(40)]


def caused(record: Record, skip: Sequence[str] = (), **decibels: float | Sequence[float]) -> tuple[Record, Causes]:
    """Return a record with the causes of its views, in dB: about a value, or one for each view."""
    views = {}
    for place, row in enumerate(record.views):
        of_view = {
            cause: value + SPREAD[place] if isinstance(value, int | float) else value[place]
            for cause, value in decibels.items()
        }
        views[row.name] = ViewCauses(
            row.scores["psnr"],
            1e-3,
            decibels={cause: value for cause, value in of_view.items() if value},
            colour=ColourCause(chosen="gain", gains=(1.1, 1.1, 1.1)),
            sharpness=SharpnessCause(1.0, "blur", 1.0),
        )
    kept = {name: view for name, view in views.items() if name not in skip}
    return record, Causes(1, sha256_of_result(record), kept)


def sides(gain: float, count: int = 8) -> tuple[Record, Record]:
    """Return A and B, which gains about so much in PSNR."""
    a = of("a", base(count))
    return a, of("b", [x + gain + 0.3 * SPREAD[i] for i, x in enumerate(base(count))])


def compared(*known: tuple[Record, Causes]) -> Comparison:
    records = [record for record, _ in known]
    return compare_contenders(contenders(*records), resamples=1000, causes=KnownCauses(known))


def sentence(*known: tuple[Record, Causes]) -> str:
    return compared(*known).pairs[0].words[1]


def test_the_part_of_a_cause_is_named() -> None:
    a, b = sides(-0.9)
    said = sentence(caused(a, sharpness=1.0, colour=0.5), caused(b, sharpness=1.7, colour=0.5))
    assert said == "b loses 0.9 dB of PSNR to a, of which 0.7 dB is blur."
    said = sentence(caused(b, sharpness=1.7, colour=0.5), caused(a, sharpness=1.0, colour=0.5))
    assert said == "b loses 0.9 dB of PSNR to a, of which 0.7 dB is blur."
    said = sentence(caused(a, sharpness=1.0, colour=0.7), caused(b, sharpness=1.7, colour=0.5))
    assert said == "b loses 0.9 dB of PSNR to a, of which 0.7 dB is blur; a loses 0.2 dB by exposure to b."


@pytest.mark.parametrize(
    ("gain", "of_a", "of_b", "expected"),
    [
        (0.9, {"noise": 0.8}, {}, "a loses 0.9 dB of PSNR to b, of which 0.8 dB is noise."),
        (
            -0.5,
            {"colour": 1.0},
            {"sharpness": 1.5},
            "b loses 0.5 dB of PSNR to a: 1.5 dB by blur, while a loses 1.0 dB by exposure to b.",
        ),
        (
            -0.5,
            {},
            {"sharpness": 1.5},
            "b loses 0.5 dB of PSNR to a: 1.5 dB by blur, while the rest of its error is smaller.",
        ),
        (-0.5, {"noise": 0.4}, {}, "b loses 0.5 dB of PSNR to a, although a loses 0.4 dB by noise to b."),
        (
            0.0,
            {"noise": 0.4},
            {"sharpness": 0.4},
            "b loses 0.4 dB by blur to a, and a loses 0.4 dB by noise to b.",
        ),
        (-0.5, {"noise": 1.0}, {"noise": 1.0}, "No cause of error differs between a and b by more than its noise."),
        (-0.5, {"noise": 1.0}, {"noise": 1.04}, "No cause of error differs between a and b by more than its noise."),
        (-0.5, {}, {}, "No cause of error differs between a and b by more than its noise."),
    ],
)
def test_sentences(gain: float, of_a: Mapping[str, float], of_b: Mapping[str, float], expected: str) -> None:
    a, b = sides(gain)
    assert sentence(caused(a, [], **of_a), caused(b, [], **of_b)) == expected


def test_a_cause_within_its_noise_is_not_named() -> None:
    a, b = sides(-0.9)
    scattered = [1.0, 0, 0, 0, 0, 0, 2.0, 0]
    assert "No cause" in sentence(caused(a), caused(b, floaters=scattered))
    assert "3.0 dB" in sentence(caused(a), caused(b, floaters=[3 + 0.1 * x for x in scattered]))


def test_intervals_are_widened_for_the_number_of_causes() -> None:
    a, b = sides(-0.9)
    # Student's t is 2.8 in 7 degrees of freedom: p is below 5 %, and above 5 % / 3.
    spread = [x - 3.5 for x in range(8)]
    values = [0.1 * x + 0.28 * math.sqrt(sum(x * x for x in spread) / 7 / 8) for x in spread]
    assert 0.05 / 3 < 2 * t.sf(2.8, 7) < 0.05
    alone = compared(caused(a), caused(b, noise=values)).pairs[0].attributions["psnr"].causes
    assert alone["noise"].sign == -1
    three = compared(caused(a), caused(b, noise=values, colour=1.0, pose=1.0)).pairs[0].attributions["psnr"].causes
    assert {cause: part.sign for cause, part in three.items()} == {"colour": -1, "pose": -1, "noise": 0}


def test_only_views_with_causes_on_both_sides_count() -> None:
    a, b = sides(-0.9, 10)
    known = caused(a, skip=["0003"], sharpness=1.0), caused(b, skip=["0005"], sharpness=1.7)
    attribution = compared(*known).pairs[0].attributions["psnr"]
    rows = [place for place in range(10) if place not in (3, 5)]
    expected = [b.views[place].scores["psnr"] - a.views[place].scores["psnr"] for place in rows]
    assert attribution.views == 8
    assert attribution.whole.difference == pytest.approx(sum(expected) / 8, abs=1e-12)
    assert attribution.causes["sharpness"].interval.difference == pytest.approx(-0.7, abs=1e-12)
    assert sentence(*known) == (
        "b loses 0.9 dB of PSNR to a on the 8 of 10 views with known causes, of which 0.7 dB is blur."
    )
    none = compare_contenders(contenders(a, b), causes=KnownCauses([caused(a, noise=1.0)])).pairs[0]
    assert none.attributions == {} and "causes" not in none.to_plain()


def test_too_few_views_are_no_evidence() -> None:
    a, b = sides(-0.9, 4)
    said = sentence(caused(a), caused(b, noise=1.0))
    assert said == "Causes: With 4 shared views, there is no interval: at least 6 are required."


def test_runs_are_averaged_and_infinite_scores_have_no_mean() -> None:
    a, b = sides(-0.9)
    two = [replace(b, run=name) for name in ("1", "2")]
    records = [caused(replace(a, run="1")), caused(two[0], noise=1.0), caused(two[1], noise=0.4)]
    pair = compare_contenders(
        contenders(*(record for record, _ in records), runs="mean"), causes=KnownCauses(records)
    ).pairs[0]
    assert pair.attributions["psnr"].causes["noise"].interval.difference == pytest.approx(
        -0.7 - sum(SPREAD[:8]) / 8, abs=1e-12
    )
    exact = of("a", [math.inf, *base(8)[1:]])
    plain = compared(caused(exact), caused(b, noise=1.0)).pairs[0].to_plain()
    assert plain["causes"]["psnr"]["difference"] == "-inf"
    json.dumps(plain, allow_nan=False)


def test_causes_of_several_protocols_and_of_equal_names_are_found() -> None:
    a, b = sides(-0.9)
    records = [a, under(a), b, under(b)]
    other = of("b", [x - 5 for x in base(8)])
    known = KnownCauses([caused(other, noise=9.0), caused(a, sharpness=1.0), caused(b, sharpness=1.7)])
    for merged in joint(records):
        metric = next(name for name in merged.records[0].metrics if name.startswith("psnr"))
        of_b = [known.views(record, metric) for record in merged.records if record.method == "b"]
        found = [views["0000"].decibels for views in of_b if views]
        assert found in ([{"sharpness": pytest.approx(1.7)}], [])
    assert known.views(b, "psnr")["0000"].decibels.keys() == {"sharpness"}
    assert known.views(replace(b, views=[replace(row, scores={"psnr": 1.0}) for row in b.views]), "psnr") == {}


@pytest.fixture
def written(here: Path) -> list[Path]:
    """Files of two records with causes."""
    known = [caused(record, sharpness=amount) for record, amount in zip(sides(-0.9), (1.0, 1.7), strict=True)]
    files = [record_file(record, Path("out")) for record, _ in known]
    for file, (record, causes) in zip(files, known, strict=True):
        write_record(file, record)
        write_causes(file, causes)
    return files


def test_the_command_reads_the_causes_beside_the_records(written: list[Path], cli: Callable[..., Said]) -> None:
    assert "b loses 0.9 dB of PSNR to a, of which 0.7 dB is blur." in cli("compare", "out").out
    (one,) = json.loads(cli("compare", "out", "--format", "json").out)["comparisons"]
    part = one["pairs"][0]["causes"]["psnr"]
    assert part["views"] == 8 and part["causes"]["sharpness"]["kind"] == "blur"
    assert part["causes"]["sharpness"]["difference"] == pytest.approx(-0.7, abs=1e-12)
    assert "blur" not in cli("compare", "out", "--metrics", "ssim").out


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_damaged_causes_are_reported_and_not_used(
    written: list[Path], cli: Callable[..., Said], content: bytes
) -> None:
    causes_file(written[1]).write_bytes(content)
    said = cli("compare", "out")
    assert said.code == 0 and "blur" not in said.out and "b is worse than a in PSNR" in said.out
    assert "The causes are not used." in said.err and f"{causes_file(written[1])} is damaged" in said.err
