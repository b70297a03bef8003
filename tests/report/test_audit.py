"""Audits list the scores of renders under each protocol, and sentences explain the differences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from support.pinned import Pinned
from support.records import record, row

from nvs_eval.errors import listed
from nvs_eval.protocols import load_protocol, named_protocols
from nvs_eval.records.record import Record
from nvs_eval.records.signatures import parts_of, split_signature
from nvs_eval.report.audit import audit_table, audit_words
from nvs_eval.report.tables.table import Table
from nvs_eval.report.words import absence, phrase

IN_RANGE = ("alpha", "range", "mask")


def scored(
    protocol: str, *, coverage: float | None = None, neutral: Sequence[str] = IN_RANGE, **scores: float
) -> Record:
    """Return a record under a named protocol, with its signatures and some of its metrics."""
    known = load_protocol(protocol)
    view = replace(row(), scores=scores, coverage=coverage)
    return replace(
        record(run="base", step=2500),
        protocol={"name": known.name, "definition": known.definition, "fingerprint": known.fingerprint},
        metrics={name: info for name, info in known.infos.items() if name in scores},
        views=[view, replace(view, name="0002")],
        neutral=neutral,
    )


def headings(table: Table) -> list[str]:
    return [column.heading for column in table.columns]


def column(table: Table, header: str) -> list[str]:
    index = headings(table).index(header)
    return [f"{row[index].text} {row[index].aside}".strip() for row in table.rows]


RECORDS = [
    scored("nerfstudio", psnr=25.84, ssim=0.8265, lpips_alex=0.1234),
    scored("standard", psnr=25.836, ssim=0.8351, lpips_alex=0.1239, lpips_vgg=0.2389),
    scored("inria-3dgs", psnr=25.91, ssim=0.8412, lpips_vgg=0.2489),
]


# --- The table ------------------------------------------------------------------------------------------------------


def test_first_row_has_values_and_others_their_differences() -> None:
    table = audit_table(RECORDS)
    assert table.title == "fox, nerfacto/base/2500, 2 test views"
    assert column(table, "protocol") == ["nerfstudio", "standard", "inria-3dgs"]
    assert column(table, "fingerprint") == [record.fingerprint for record in RECORDS]
    assert column(table, "PSNR [dB] ↑") == ["25.84", "25.84 (0.00)", "25.91 (+0.07)"]
    assert column(table, "SSIM ↑") == ["0.8265", "0.8351 (+0.0086)", "0.8412 (+0.0147)"]
    assert table.caption == "in brackets: difference from nerfstudio; not ranked"
    assert all(cell.rank is None for cells in table.rows for cell in cells)
    assert table.identity == 2


def test_a_missing_metric_is_a_dash() -> None:
    table = audit_table(RECORDS)
    assert column(table, "LPIPS (Alex) ↓") == ["0.1234", "0.1239 (+0.0005)", "-"]
    assert column(table, "LPIPS (VGG) ↓") == ["-", "0.2389", "0.2489"]


def test_columns_have_the_usual_order_with_corrected_ones_last() -> None:
    corrected = scored("3dgrut", cc_psnr=26.0, cc_lpips_vgg=0.3, psnr=25.0, lpips_vgg=0.2)
    others = scored("nerfbaselines", mae=0.1, psnr=25.0)
    plugin = replace(others, metrics={"gmsd": replace(others.metrics["mae"], signature="gmsd|v1")})
    plugin = replace(plugin, views=[replace(view, scores={"gmsd": 0.5}) for view in plugin.views])
    headers = headings(audit_table([plugin, corrected, others, *RECORDS]))
    assert headers[2:] == [
        "PSNR [dB] ↑",
        "SSIM ↑",
        "LPIPS (Alex) ↓",
        "LPIPS (VGG) ↓",
        "MAE ↓",
        "gmsd ↓",
        "cc-PSNR [dB] ↑",
        "cc-LPIPS (VGG) ↓",
    ]
    assert column(audit_table([corrected, replace(corrected)]), "cc-PSNR [dB] ↑") == ["26.00", "26.00 (0.00)"]


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (math.inf, math.inf, "inf (0.00)"),
        (math.inf, 30.0, "30.00 (-inf)"),
        (30.0, math.inf, "inf (+inf)"),
        (30.0, 29.9999, "30.00 (0.00)"),
        (30.0, 29.99, "29.99 (-0.01)"),
    ],
)
def test_differences_of_infinities_and_of_next_to_nothing(first: float, second: float, shown: str) -> None:
    table = audit_table([scored("nerfstudio", psnr=first), scored("standard", psnr=second)])
    assert column(table, "PSNR [dB] ↑")[1] == shown


def test_skipped_views_are_noted() -> None:
    fewer = replace(RECORDS[1], provenance={"left_out": {"0003": "mask empty"}})
    assert audit_table([RECORDS[0], fewer]).notes == ["standard: 1 view skipped: mask empty"]


def over(record: Record, *names: str) -> Record:
    """Return the record with views of these names."""
    return replace(record, views=[replace(record.views[0], name=name) for name in names])


NERFW = scored("nerfbaselines-nerfw", psnr=21.0)


def test_views_are_counted_where_protocols_scored_others() -> None:
    table = audit_table([RECORDS[0], over(NERFW, "0001", "0002", "0003")])
    assert table.title == "fox, nerfacto/base/2500, test views"
    assert column(table, "views") == ["2", "3"]
    assert column(table, "PSNR [dB] ↑") == ["25.84", "21.00 (-4.84)"]
    assert [column.numeric for column in table.columns] == [False, False, True, True, True, True]
    others = audit_table([RECORDS[0], over(NERFW, "0001", "0003")])
    assert others.title == "fox, nerfacto/base/2500, 2 test views"
    assert column(others, "views") == ["2", "2"]
    assert "views" not in headings(audit_table([RECORDS[0], NERFW]))


def test_one_view_is_not_several() -> None:
    first, second = (over(record, "0001") for record in RECORDS[:2])
    assert audit_table([first, second]).title == "fox, nerfacto/base/2500, 1 test view"


# --- Sentences ------------------------------------------------------------------------------------------------------


def about(called: str, records: Sequence[Record]) -> list[str]:
    return [sentence for sentence in audit_words(records) if called in sentence]


def test_sentences_name_reasons_and_differences(pinned: Pinned) -> None:
    pinned("audit", "\n".join(about("SSIM", RECORDS)))


def test_equal_values_are_not_equal_definitions(pinned: Pinned) -> None:
    pinned("audit", "\n".join(about("PSNR", RECORDS)[:2]))


def test_one_signature_is_the_same_number_by_definition(pinned: Pinned) -> None:
    records = [scored("gsplat", psnr=20.0, ssim=0.5), scored("gsplat-vgg", psnr=20.0, ssim=0.5)]
    pinned("audit", "\n".join(about("PSNR", records)))
    three = [replace(one, neutral=("alpha", "mask")) for one in (*records, scored("nerf", psnr=21.0))]
    pinned("audit", "\n".join(about("PSNR", three)))


def test_a_metric_that_the_first_protocol_lacks_is_not_yours(pinned: Pinned) -> None:
    pinned("audit", "\n".join(about("(VGG)", RECORDS)))
    alone = [scored("nerfstudio", psnr=20.0), scored("nerfbaselines", psnr=20.0, mae=0.1)]
    pinned("audit", "\n".join(about("MAE", alone)))


def test_same_outcomes_for_the_same_reasons_share_a_sentence(pinned: Pinned) -> None:
    records = [
        scored("standard", psnr=20.0),
        scored("nerfstudio", psnr=21.0),
        scored("nerf", psnr=21.0),
        scored("instant-ngp", psnr=22.0),
    ]
    pinned("audit", "\n".join(about("PSNR", records)[1:]))


def test_same_outcomes_for_other_reasons_share_a_sentence(pinned: Pinned) -> None:
    records = [scored("standard", psnr=20.0, ssim=0.9), scored("inria-3dgs", ssim=0.8), scored("nerfstudio", ssim=0.8)]
    pinned("audit", "\n".join(about("SSIM", records)[1:]))


@pytest.mark.parametrize(
    ("value", "same"),
    [
        (0.12344, False),  # The difference has no fourth decimal, but 0.1234 and 0.1235 are shown.
        (0.12354, True),  # A difference of 0.0001, but shown as 0.1235 too.
        (0.12355001, False),
        (0.12339, False),
    ],
)
def test_values_that_are_shown_as_equal_have_the_same_value(value: float, same: bool) -> None:
    sentence = about("SSIM", [scored("standard", ssim=0.12346), scored("inria-3dgs", ssim=value)])[1]
    assert sentence.startswith("SSIM has the same value under inria-3dgs (pads with zeros)" if same else "SSIM under ")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (0.12344, "0.1234 (-0.00002)"),
        (0.12345 - 1e-12, "0.1234 (-0.00001)"),
        (0.12354, "0.1235 (0.0000)"),
        (0.12355001, "0.1236 (+0.0001)"),
    ],
)
def test_a_difference_is_shown_as_zero_only_between_equal_values(value: float, cell: str) -> None:
    records = [scored("standard", ssim=0.12346), scored("inria-3dgs", ssim=value)]
    assert column(audit_table(records), "SSIM ↑")[1] == cell
    assert ("has the same value" in about("SSIM", records)[1]) == cell.endswith("(0.0000)")


def test_means_that_one_protocol_rounds_are_not_the_same_by_definition() -> None:
    plain = scored("nerfstudio", psnr=20.374999)
    definition = {**plain.protocol["definition"], "round_means": 5}
    rounding = replace(plain, protocol={**plain.protocol, "name": "rounding", "definition": definition})
    assert about("PSNR", [plain, rounding]) == [
        "Your PSNR 20.37 dB (nerfstudio) does not round means.",
        "PSNR under rounding is 20.38 dB (+0.000001): it rounds means to 5 decimals.",
    ]


def test_different_views_are_named(pinned: Pinned) -> None:
    standard = scored("standard", psnr=20.0, coverage=0.5, neutral=("alpha", "range"))
    pinned("audit", "\n".join(about("PSNR", [standard, over(NERFW, "0001", "0002", "0003")])))
    assert about("PSNR", [standard, over(NERFW, "0001", "0003")])[1].endswith(
        "uses no masks and is a mean over 2 views, but not those of standard."
    )


def test_same_signature_of_other_views_is_another_definition(pinned: Pinned) -> None:
    records = [scored("gsplat", psnr=20.0), over(scored("gsplat-vgg", psnr=21.0), "0001")]
    pinned("audit", "\n".join(about("PSNR", records)))


def reasons(first: str, second: str, *neutral: str) -> str:
    """Return how the SSIM of the second protocol differs from the first one's, with these neutral steps."""
    records = [scored(first, ssim=0.9, neutral=neutral), scored(second, ssim=0.8, neutral=neutral)]
    return about("SSIM", records)[1].partition("it ")[2]


def test_steps_that_changed_nothing_are_not_reasons() -> None:
    assert reasons("standard", "inria-3dgs", *IN_RANGE) == "pads with zeros."
    assert reasons("standard", "inria-3dgs", "range", "mask") == "pads with zeros and drops alpha."
    assert reasons("standard", "inria-3dgs", "alpha", "mask") == "pads with zeros and clamps to [0, 1]."
    assert reasons("standard", "inria-3dgs", "alpha", "range") == "pads with zeros and uses no masks."
    assert reasons("standard", "inria-3dgs") == "pads with zeros, drops alpha, clamps to [0, 1] and uses no masks."
    assert reasons("standard", "ngp-pl", *IN_RANGE, "q-reference").endswith(" and does not quantise.")
    assert reasons("standard", "ngp-pl", *IN_RANGE, "q-reference", "q-render") == (
        "mirrors the image at its borders and clamps variances at 0."
    )
    two = scored("standard", ssim=0.9), scored("inria-3dgs", ssim=0.8, neutral=("range", "mask"))
    assert about("SSIM", two)[1].endswith("it pads with zeros and drops alpha.")


def test_alpha_is_named_if_nothing_else_differs() -> None:
    plain = scored("standard", psnr=20.0)
    signature = f"{plain.metrics['psnr'].signature.removesuffix('|v1')}|alpha:drop|v1"
    dropping = replace(
        plain,
        protocol={**plain.protocol, "name": "dropping"},
        metrics={"psnr": replace(plain.metrics["psnr"], signature=signature)},
    )
    assert "under dropping (drops alpha)" in about("PSNR", [plain, dropping])[1]


def test_idle_parts_are_named_if_nothing_else_differs() -> None:
    signature = "psnr|range:1|q:round8|v1"
    plain = scored("standard", psnr=20.0)
    unmasked = replace(
        plain,
        protocol={**plain.protocol, "name": "unmasked"},
        metrics={"psnr": replace(plain.metrics["psnr"], signature=signature)},
    )
    assert about("PSNR", [plain, unmasked])[1] == (
        "PSNR has the same value under unmasked (uses no masks). They agree here to the decimals shown, but differ by "
        "definition."
    )


def test_corrected_scores_and_networks_are_separate_metrics(pinned: Pinned) -> None:
    corrected = scored("3dgrut", cc_psnr=26.0, lpips_vgg=0.2)
    words = audit_words([RECORDS[0], corrected])
    pinned("audit", "\n".join(words[-3:]))
    multinerf = scored("multinerf", cc_psnr=27.0)
    assert about("olour-corrected PSNR", [corrected, multinerf])[1] == (
        "Colour-corrected PSNR under multinerf is 27.00 dB (+1.00): it corrects the render's colours by a quadratic "
        "fit and rounds the render only to 8 bits."
    )
    pinned("audit", "\n".join(audit_words([scored("nerf", psnr=20.0)])))


def test_names_cannot_steer_a_terminal() -> None:
    hostile = replace(RECORDS[0], protocol={**RECORDS[0].protocol, "name": "\x1b[2J"}, scene="\x1b[2J")
    table = audit_table([hostile, RECORDS[1]])
    texts = [table.title, table.caption, *(cell.text for cells in table.rows for cell in cells)]
    assert "\x1b" not in "".join([*texts, *audit_words([hostile, RECORDS[1]])])


# --- Phrases --------------------------------------------------------------------------------------------------------


def signatures() -> dict[str, Any]:
    protocols = [load_protocol(name) for name in named_protocols()]
    protocols += [protocol.colour_corrected("affine") for protocol in protocols]
    return {part: name for p in protocols for name, s in p.signatures.items() for part in split_signature(s)[1:]}


def test_every_part_of_named_protocols_signatures_has_a_phrase() -> None:
    parts = signatures()
    assert len(parts) > 30
    assert [part for part in parts if phrase(part) == f"has {part!r}"] == []


def test_every_optional_part_has_a_phrase_for_its_absence() -> None:
    by_metric: dict[str, list[set[str]]] = {}
    for protocol in (load_protocol(name) for name in named_protocols()):
        for name, signature in protocol.signatures.items():
            by_metric.setdefault(name, []).append(set(parts_of(signature)))
    optional = {part for sets in by_metric.values() for part in set.union(*sets) - set.intersection(*sets)}
    assert {"mask", "alpha", "floor", "grey", "clamp"} <= optional
    assert [part for part in optional if absence(part) == f"has no {part!r}"] == []


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("q:round8/float", "rounds the render only to 8 bits"),
        ("q:float/trunc8", "truncates the reference only to 8 bits"),
        ("q:round8/trunc8", "rounds the render and truncates the reference to 8 bits"),
        ("qmask:trunc8", "truncates masks to 8 bits"),
        ("crop:4", "crops 4 pixels from each side"),
        ("floor:1.42e-14", "clamps variances at 1.42e-14"),
        ("v2", "has version 2"),
        ("of:[psnr|range:1|v1 mae|v1]", "is made of psnr|range:1|v1 and mae|v1"),
        ("colour:teal", "has colour teal"),
    ],
)
def test_phrases(part: str, message: str) -> None:
    assert phrase(part) == message


def test_a_signature_is_split_outside_brackets() -> None:
    signature = "average|of:[psnr|range:1|v1 mae|v1]|covclamp|v1"
    assert split_signature(signature) == ["average", "of:[psnr|range:1|v1 mae|v1]", "covclamp", "v1"]
    assert parts_of(signature) == {"of": "of:[psnr|range:1|v1 mae|v1]", "covclamp": "covclamp", "v": "v1"}
    assert absence("teal") == "has no 'teal'"
    assert [listed([]), listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])] == [
        "",
        "a",
        "a and b",
        "a, b and c",
    ]
