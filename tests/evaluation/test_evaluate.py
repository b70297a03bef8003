from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from support.pinned import Pinned
from support.protocols import CLAMPING, FLOAT, IGNORING, LIGHT, protocol_of
from support.scenes import float_image, image

from nvs_eval import __version__
from nvs_eval.errors import InputError, InputWarning
from nvs_eval.evaluation.evaluate import Session, evaluate
from nvs_eval.evaluation.provenance import device_name
from nvs_eval.evaluation.rows import relative_path
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.images.pixels import sha256_of_image, sha256_of_mask, without_alpha
from nvs_eval.metrics.weights.pins import Net
from nvs_eval.protocols import load_protocol
from nvs_eval.records.record import read_record, record_file, to_plain, write_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.sources import views as views_module
from nvs_eval.sources.views import Render, View

ONE = (ResultId("fox", "nerfacto", "base", 2500),)
TWO = (ResultId("fox", "nerfacto"), ResultId("fox", "splatfacto", "late", 30000, "train"))
SCORER = Scorer([protocol_of(LIGHT), protocol_of(FLOAT)], torch.device("cpu"))


def view(name: str, *seeds: int, mask: torch.Tensor | None = None) -> View:
    return View(name, float_image(0), tuple(Render(float_image(seed), seconds=0.5 * seed) for seed in seeds), mask)


# --- Records ------------------------------------------------------------------------------------------------------


def test_a_list_of_views_is_a_source(tmp_path: Path) -> None:
    views = [view("a", 1), view("cam0/b", 2)]
    session = Session(tmp_path, ("nvs-eval", "score", "renders"))
    records = evaluate(views, ONE, SCORER, session)
    assert [record.protocol["name"] for record in records] == ["light", "float"]
    for record, protocol in zip(records, SCORER.protocols, strict=True):
        assert (record.scene, record.method, record.run, record.step) == ("fox", "nerfacto", "base", 2500)
        assert record.split == "test"
        assert record.protocol["definition"] == protocol.definition
        assert record.fingerprint == protocol.fingerprint
        assert {name: info.signature for name, info in record.metrics.items()} == protocol.signatures
        assert [(info.unit, info.higher_is_better) for info in record.metrics.values()] == [("dB", True), ("", True)]
        assert [row.name for row in record.views] == ["a", "cam0/b"]
        assert [(row.width, row.height) for row in record.views] == [(48, 40)] * 2
        assert [row.render_seconds for row in record.views] == [0.5, 1.0]
        assert {row.reference_sha256 for row in record.views} == {sha256_of_image(float_image(0))}
        assert {(row.render, row.reference, row.coverage) for row in record.views} == {(None, None, None)}
    expected = [SCORER.score(scored) for scored in views]
    for index, record in enumerate(records):
        assert [row.scores for row in record.views] == [
            {name: values[0] for name, values in scores[index].items()} for scores in expected
        ]


def test_each_result_and_protocol_has_its_own_record(tmp_path: Path) -> None:
    views = [view("a", 1, 2), view("b", 3, 4)]
    records = evaluate(views, TWO, SCORER, Session(tmp_path))
    assert [(record.method, record.step, record.split, record.protocol["name"]) for record in records] == [
        ("nerfacto", None, "test", "light"),
        ("nerfacto", None, "test", "float"),
        ("splatfacto", 30000, "train", "light"),
        ("splatfacto", 30000, "train", "float"),
    ]
    assert len({tuple(row.scores["psnr"] for row in record.views) for record in records}) == 4
    # Each result scores the same alone as together with the other.
    for index, result in enumerate(TWO):
        alone = [View(scored.name, scored.reference, scored.renders[index : index + 1]) for scored in views]
        for record in evaluate(alone, [result], SCORER, Session(tmp_path)):
            (joint,) = [r for r in records if (r.method, r.fingerprint) == (record.method, record.fingerprint)]
            assert joint.views == record.views


def test_paths_are_relative_to_the_folder_of_the_record(tmp_path: Path) -> None:
    references, renders = (
        tmp_path / "data" / "gt",
        tmp_path / "results" / "fox" / "nerfacto" / "base" / "2500" / "renders",
    )
    scored = View("a", image(0), (Render(image(1), file=renders / "a.png"),), reference_file=references / "a.png")
    record, _ = evaluate([scored], ONE, SCORER, Session(tmp_path / "results"))
    assert record.views[0].render == "renders/a.png"
    assert record.views[0].reference == "../../../../../data/gt/a.png"
    folder = record_file(record, tmp_path / "results").parent
    assert (folder / str(record.views[0].reference)).resolve() == references / "a.png"
    assert relative_path(None, folder) is None


def test_alpha_is_composited_once_for_scores_and_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    composited = []

    def counted(image: torch.Tensor, alpha: torch.Tensor | None, **options: Any) -> torch.Tensor:
        composited.append(options["what"])
        return without_alpha(image, alpha, **options)

    monkeypatch.setattr(views_module, "without_alpha", counted)
    alpha = float_image(2)[..., :1]
    render = Render(float_image(1), alpha=alpha)
    scored = View("a", float_image(0), (render,), reference_alpha=alpha, background=(1, 1, 1))
    records = evaluate([scored], ONE, SCORER, Session(tmp_path))
    assert composited == ["The reference of view 'a'", "The render of view 'a'"]
    expected = sha256_of_image(scored.opaque("composite").reference)
    assert [record.views[0].reference_sha256 for record in records] == [expected] * 2


def test_coverage_is_the_mean_of_the_mask(tmp_path: Path) -> None:
    mask = torch.zeros(40, 48)
    mask[10:30] = 1
    scorer = Scorer([protocol_of(LIGHT)], torch.device("cpu"))
    (record,) = evaluate([view("a", 1, mask=mask), view("b", 1)], ONE, scorer, Session(tmp_path))
    assert [row.coverage for row in record.views] == [0.5, None]


def test_provenance_describes_software_command_and_inputs(tmp_path: Path) -> None:
    command = ("nvs-eval", "run", "--load-config", "config.yml")
    records = evaluate(
        [view("a", 1)], ONE, SCORER, Session(tmp_path, command), provenance=[{"checkpoint_sha256": "ab12"}]
    )
    provenance = records[0].provenance
    assert provenance["nvs_eval"] == __version__
    assert provenance["versions"]["torch"] == version("torch")
    assert provenance["device"] == "cpu" == device_name(torch.device("cpu"))
    assert provenance["command"] == list(command)
    assert provenance["started"].endswith("+00:00")
    assert provenance["seconds"] >= 0
    assert (provenance["checkpoint_sha256"], provenance["config_sha256"]) == ("ab12", None)
    assert (provenance["weights"], provenance["tf32"]) == ({}, False)


def test_record_is_unchanged_by_writing_and_reading(tmp_path: Path) -> None:
    identical = View("same", image(0), (Render(image(0)),))
    scorer = Scorer([protocol_of(LIGHT)], torch.device("cpu"))
    (record,) = evaluate([identical, view("a", 1)], ONE, scorer, Session(tmp_path))
    assert record.views[0].scores["psnr"] == math.inf
    path = record_file(record, tmp_path)
    write_record(path, record)
    assert json.loads(path.read_text())["views"][0]["scores"]["psnr"] == "inf"
    assert to_plain(read_record(path)) == to_plain(record)


# --- The loop -----------------------------------------------------------------------------------------------------


def test_views_are_read_one_by_one_and_reported_after_scoring(tmp_path: Path) -> None:
    events: list[str] = []

    def lazy() -> Iterator[View]:
        for name in ("a", "b"):
            events.append(f"made {name}")
            yield view(name, 1)

    evaluate(lazy(), ONE, SCORER, Session(tmp_path), on_view=lambda scored: events.append(f"scored {scored.name}"))
    assert events == ["made a", "scored a", "made b", "scored b"]


@pytest.mark.parametrize("seeds", [(1,), (1, 2, 3)])
def test_view_without_a_render_per_result_raises(seeds: tuple[int, ...], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"View 'b' .* {len(seeds)} renders? for 2 results"):
        evaluate([view("a", 1, 2), view("b", *seeds)], TWO, SCORER, Session(tmp_path))


def test_no_views_raise(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no view"):
        evaluate([], ONE, SCORER, Session(tmp_path))


def test_error_of_all_views_is_raised(tmp_path: Path) -> None:
    beyond = [View(name, image(0), (Render(2 * image(1)),)) for name in "bc"]
    with pytest.raises(InputError, match=r"The render of view 'b' .*values"):
        evaluate(beyond, ONE, SCORER, Session(tmp_path))


def test_result_without_any_view_is_a_warning_if_another_has_a_record(tmp_path: Path) -> None:
    views = [View(name, image(0), (Render(image(1)), Render(2 * image(2)))) for name in "bc"]
    scorer = Scorer([protocol_of(LIGHT)], torch.device("cpu"))
    lost: list[InputError] = []
    (record,) = evaluate(views, TWO, scorer, Session(tmp_path), on_lost=lost.append)
    assert record.method == "nerfacto"
    (error,) = lost
    assert str(error).startswith(
        "No view of fox/splatfacto/late/30000 could be scored. The render of view 'b' has values"
    )
    with pytest.warns(InputWarning, match="No view of fox/splatfacto"):
        assert len(evaluate(views, TWO, scorer, Session(tmp_path))) == 1


# --- Refused protocols and skipped views ----------------------------------------------------------------------------


def test_refusing_protocol_is_reported_once_and_others_continue(tmp_path: Path) -> None:
    beyond = [View(name, image(0), (Render(2 * image(1)),)) for name in ("b", "c")]
    scorer = Scorer([protocol_of(LIGHT), protocol_of(CLAMPING), protocol_of(FLOAT)], torch.device("cpu"))
    refusals: list[tuple[str, str]] = []
    (record,) = evaluate(
        beyond,
        ONE,
        scorer,
        Session(tmp_path),
        on_refusal=lambda protocol, error: refusals.append((protocol.name, str(error))),
    )
    assert record.protocol["name"] == "clamping"
    assert [row.name for row in record.views] == ["b", "c"]
    assert [name for name, _ in refusals] == ["light", "float"]
    assert all(message.startswith("The render of view 'b' ") for _, message in refusals)


def test_no_views_are_reported_as_a_refusal(tmp_path: Path, pinned: Pinned) -> None:
    refusals: list[str] = []
    empty = view("a", 1, mask=torch.zeros(40, 48))
    scorer = Scorer([protocol_of(LIGHT), protocol_of(IGNORING)], torch.device("cpu"))
    (record,) = evaluate(
        [empty], ONE, scorer, Session(tmp_path), on_refusal=lambda _, error: refusals.append(str(error))
    )
    assert record.protocol["name"] == "ignoring"
    (message,) = refusals
    pinned("score", message)


def test_skipped_views_keep_name_reason_and_mask(tmp_path: Path) -> None:
    empty = torch.zeros(40, 48)
    scorer = Scorer([protocol_of(LIGHT)], torch.device("cpu"))
    views = [view("a", 1, 2), view("b", 1, 2, mask=empty), view("c", 1, 2, mask=torch.ones(40, 48))]
    records = evaluate(views, TWO, scorer, Session(tmp_path))
    assert len(records) == len(TWO)
    for record in records:
        assert [row.name for row in record.views] == ["a", "c"]
        assert record.provenance["left_out"] == {"b": "The mask of view 'b' is empty: there is nothing to score."}
        assert record.provenance["left_out_masks"] == {"b": sha256_of_mask(empty)}
        assert [row.mask_sha256 for row in record.views] == [None, sha256_of_mask(torch.ones(40, 48))]


def test_record_has_the_path_of_a_mask_file(tmp_path: Path) -> None:
    mask, file = torch.ones(40, 48), tmp_path / "masks" / "a.png"
    scored = View("a", image(0), (Render(image(1)),), mask, mask_file=file)
    scorer = Scorer([protocol_of(LIGHT), protocol_of(IGNORING)], torch.device("cpu"))
    masked, ignoring = evaluate([scored], ONE, scorer, Session(tmp_path / "results"))
    assert masked.views[0].mask == "../../../../../masks/a.png"
    assert (ignoring.views[0].mask, ignoring.views[0].mask_sha256) == (None, None)


def test_record_names_only_the_weights_of_its_protocol(
    weights_folder: Callable[[Net], Path | None], tmp_path: Path
) -> None:
    folder = weights_folder("alex") or weights_folder("vgg")
    protocols = [load_protocol(name) for name in ("standard", "nerfstudio", "inria-3dgs", "nerf")]
    scorer = Scorer(protocols, torch.device("cpu"), folder)
    records = evaluate([view("a", 1)], ONE, scorer, Session(tmp_path))
    nets = {record.protocol["name"]: list(record.provenance["weights"]) for record in records}
    assert nets == {"standard": ["alex", "vgg"], "nerfstudio": ["alex"], "inria-3dgs": ["vgg"], "nerf": []}
    assert all(record.provenance["weights"].items() <= scorer.weights.items() for record in records)
