"""The page of `report`: its files, what it says about missing images, and what it never replaces."""

from __future__ import annotations

import base64
import errno
import io
import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image
from support.commands import Said
from support.pinned import Pinned
from support.protocols import protocol_file
from support.records import record, row
from support.scenes import files_below, float_image, image, write_images

import nvs_eval
from nvs_eval.errors import InputError, InputWarning, ResourceError
from nvs_eval.records.causes import Causes, ViewCauses, sha256_of_result, write_causes
from nvs_eval.records.record import Record, record_file, write_record
from nvs_eval.report.page import folder as folders
from nvs_eval.report.page.folder import PageFiles

HOSTILE = ('a "b" <b>c</b>', "</script><script>alert(1)</script>", "手法 & طريقة", "it's <!-- {{ x }} %s \u2028")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Record]]:
    """Write and score a scene in a new working directory. Views differ in size; renders are noise."""
    monkeypatch.chdir(tmp_path)

    def make(methods: Sequence[str] = ("ours", "theirs"), views: Sequence[str] = ("0001", "0002")) -> list[Record]:
        protocol_file(Path())
        for index, part in enumerate(("gt", *(f"renders/{place}" for place in range(len(methods))))):
            images = {name: image(100 * index + place, 16 + place, 20) for place, name in enumerate(views)}
            write_images(Path(part), images)
        renders = [f"renders/{place}" for place in range(len(methods))]
        return nvs_eval.score(renders, reference="gt", method=list(methods), output_dir="out", protocol="light.yaml")

    return make


def data(folder: Path, path: str = "data/0.js") -> Any:
    """Return what a script of the page gets."""
    text = (folder / path).read_text("utf-8")
    assert text.startswith(f'NVS.put("{path}",') and text.endswith(");\n")
    return json.loads(text.removeprefix(f'NVS.put("{path}",').removesuffix(");\n"))


def pixels(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))


def test_a_page_has_the_pixels_scores_and_tables_of_the_records(scene: Callable[..., list[Record]]) -> None:
    records = scene()
    assert nvs_eval.page("out", output="page", maps=["ssim", "flip"]) == Path("page/index.html")
    shown = data(Path("page"))
    assert [column["name"] for column in shown["columns"]] == ["ours", "theirs"]
    assert [(view["name"], view["width"], view["height"]) for view in shown["views"]] == [
        ("0001", 20, 16),
        ("0002", 20, 17),
    ]
    (protocol,) = shown["protocols"]
    for view, *rows in zip(shown["views"], *(one.views for one in records), strict=True):
        assert view["scores"][protocol["fingerprint"]]["psnr"] == [scored.scores["psnr"] for scored in rows]
        assert view["problems"] == []
        files = [f"gt/{view['name']}.png", *(f"renders/{place}/{view['name']}.png" for place in (0, 1))]
        for identifier, file in zip([view["reference"], *view["renders"]], files, strict=True):
            facts = shown["images"][identifier]
            assert np.array_equal(pixels(data(Path("page"), facts["pixels"])), np.asarray(Image.open(file)))
            assert facts["floats"] is None
            assert (Path("page") / facts["thumb"]).is_file()
    assert shown["messages"] == []
    html = Path("page/index.html").read_text("utf-8")
    assert "<table>" in protocol["table_html"]
    assert "<script>" not in html
    for made, size in zip(shown["maps"], ((16, 20), (17, 20)), strict=False):
        view = shown["views"][0 if size[0] == 16 else 1]
        assert pixels(data(Path("page"), made["files"][f"{view['renders'][0]}-{view['reference']}"])).shape == size
    listed = Path("page/nvs-eval-page.txt").read_text().splitlines()[1:]
    assert sorted(listed) == files_below(Path("page"))


def test_the_causes_beside_a_record_are_shown(scene: Callable[..., list[Record]]) -> None:
    scored, _ = scene()
    file = record_file(scored, Path("out"))
    views = {"0001": ViewCauses(psnr=20.0, mse=0.01, words=["1.0 dB is blur."]), "9": ViewCauses(psnr=20.0, mse=0.01)}
    found = Causes(1, sha256_of_result(scored), views, words=["0.5 dB is <b>exposure</b>."])
    causes = write_causes(file, found)
    nvs_eval.page("out", output="page")
    ours, theirs = (column["causes"] for column in data(Path("page"))["columns"])
    assert ours == {"words": ["0.5 dB is <b>exposure</b>."], "views": {"0001": {"words": ["1.0 dB is blur."]}}}
    assert theirs is None
    causes.write_text("{")
    nvs_eval.page("out", output="other")
    (damaged,) = data(Path("other"))["columns"][0]["causes"]["words"]
    assert damaged.startswith(f"{causes} is damaged: ") and "Remove it and run `nvs-eval diagnose` again." in damaged
    write_causes(file, msgspec.structs.replace(found, record_sha256="0" * 64))
    nvs_eval.page("out", output="last")
    assert data(Path("last"))["columns"][0]["causes"] is None


def test_values_that_are_no_levels_keep_all_bits(scene: Callable[..., list[Record]]) -> None:
    scene()
    Path("floats").mkdir()
    write_images(
        Path("floats"), {name: float_image(5, 16 + place, 20) for place, name in enumerate(("0001", "0002"))}, "npy"
    )
    nvs_eval.score("floats", reference="gt", output_dir="two", protocol="light.yaml")
    nvs_eval.page("two", output="page")
    shown = data(Path("page"))
    facts = shown["images"][shown["views"][0]["renders"][0]]
    packed = data(Path("page"), facts["floats"])
    planes = np.frombuffer(zlib.decompress(base64.b64decode(packed["data"])), np.uint8).reshape(4, -1)
    values = np.ascontiguousarray(planes.T).view("<f4").reshape(packed["h"], packed["w"], 3)
    assert np.array_equal(values, np.load("floats/0001.npy"))


@pytest.mark.parametrize("single", [False, True])
def test_hostile_names_stay_text(scene: Callable[..., list[Record]], single: bool) -> None:
    scene(HOSTILE[::2], ("a 'b' & \"c\"", "日本語 <i>x<", "</script><script>x".replace("/", "\u2215")))
    output = nvs_eval.page("out", output="page", title=HOSTILE[1], single_file=single)
    html = output.read_text("utf-8")
    assert html.count("<script") == html.count("</script>") == (html.count("data-path=") + 1 if single else 2)
    assert "<title>&lt;/script&gt;" in html
    if not single:
        shown = data(Path("page"))
        assert [column["name"] for column in shown["columns"]] == sorted(HOSTILE[::2])
        assert "<b>" not in shown["protocols"][0]["table_html"]
        for file in Path("page/data").iterdir():
            assert not {"<", ">", "&", "\u2028"} & set(file.read_text("utf-8"))


def test_views_that_look_alike_have_names_of_their_own(scene: Callable[..., list[Record]]) -> None:
    scene(views=("a\nb", "a\\nb"))
    nvs_eval.page("out", output="page")
    assert [view["name"] for view in data(Path("page"))["views"]] == ["a\\nb", "a\\nb (2)"]


@pytest.mark.parametrize("count", [1, 12])
def test_any_number_of_methods_and_one_view(scene: Callable[..., list[Record]], count: int) -> None:
    scene([f"m{place:02}" for place in range(count)], ["only"])
    nvs_eval.page("out", output="page")
    shown = data(Path("page"))
    assert len(shown["columns"]) == len(shown["views"][0]["renders"]) == count
    assert len(shown["images"]) == count + 1
    assert len(shown["protocols"][0]["compare"]) == count * (count - 1) // 2


def test_sentences_have_the_names_of_the_page(tmp_path: Path) -> None:
    rows = [[row(f"{view:04}", psnr=20.0 + gain * (1 + view)) for view in range(8)] for gain in (0.0, 0.3)]
    for step, views in zip((500, 1000), rows, strict=True):
        one = record(views, method="nerfacto", run="base", step=step)
        write_record(record_file(one, tmp_path / "out"), one)
    nvs_eval.page(tmp_path / "out", output=tmp_path / "page")
    shown = data(tmp_path / "page")
    assert [column["name"] for column in shown["columns"]] == ["nerfacto/500", "nerfacto/1000"]
    assert shown["protocols"][0]["compare"]["0,1"][0].startswith("nerfacto/1000 is better than nerfacto/500 in PSNR")
    assert shown["images"] == {}


def test_an_image_in_several_places_is_written_once(scene: Callable[..., list[Record]]) -> None:
    scene()
    shutil.copy("renders/0/0001.png", "renders/1/0001.png")
    renders = ["renders/0", "renders/1"]
    nvs_eval.score(renders, reference="gt", output_dir="again", protocol="light.yaml", method=["a", "b"])
    nvs_eval.page("again", output="page")
    first, second = data(Path("page"))["views"][0]["renders"]
    assert first == second
    assert len([*Path("page/pixels").iterdir()]) == 5


def test_a_map_is_never_lost_silently(scene: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.diagnostics import maps

    def lost(path: Path, reading: object) -> None:
        raise ResourceError("no memory")

    scene()
    monkeypatch.setattr(maps, "load_image", lost)
    with pytest.raises(ResourceError, match="no memory"):
        nvs_eval.page("out", output="page", maps="ssim")
    assert not Path("page").exists()


# --- Images that are missing or have changed ------------------------------------------------------------------------


def move() -> None:
    Path("renders/0").rename("elsewhere")


def change() -> None:
    write_images(Path("renders/0"), {"0002": image(7, 17, 20)})


def damage() -> None:
    Path("renders/0/0002.png").write_bytes(Path("renders/0/0002.png").read_bytes()[:60])


def change_reference() -> None:
    write_images(Path("gt"), {"0001": image(9, 16, 20)})


def lose_reference() -> None:
    Path("gt/0002.png").unlink()


@pytest.mark.parametrize(
    "fault", [move, change, damage, change_reference, lose_reference], ids=lambda one: one.__name__
)
def test_missing_and_changed_images_are_named(
    fault: Callable[[], None], scene: Callable[..., list[Record]], pinned: Pinned
) -> None:
    records = scene()
    fault()
    with pytest.warns(InputWarning, match="are missing, damaged or changed"):
        nvs_eval.page("out", output="page")
    shown = data(Path("page"))
    problems = [f"{view['name']}: {text}" for view in shown["views"] for text in view["problems"]]
    pinned("report", "\n".join([*shown["messages"], *problems]))
    assert shown["messages"]
    key = records[0].fingerprint
    assert [view["scores"][key]["psnr"][0] for view in shown["views"]] == [r.scores["psnr"] for r in records[0].views]


def resize() -> None:
    write_images(Path("renders/1"), {"0002": image(7, 18, 22)})


def name_too_long() -> None:
    rewrite(render=f"{'n' * 300}.png")


def damage_the_disk() -> None:
    rewrite(render="/proc/self/mem")


def rewrite(**entries: str) -> None:
    """Change the first view of the first record."""
    file = next(Path("out").rglob("*.json"))
    content = json.loads(file.read_text())
    content["views"][0] |= entries
    file.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        (resize, "has 22x18 pixels. An image of 20x17 pixels was scored."),
        (name_too_long, "are no longer in"),
        pytest.param(
            damage_the_disk,
            "cannot be read: Input/output error.",
            marks=pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux"),
        ),
    ],
    ids=lambda one: one.__name__ if callable(one) else "",
)
def test_any_fault_of_an_image_leaves_the_rest_of_the_page(
    fault: Callable[[], None], problem: str, scene: Callable[..., list[Record]], cli: Callable[..., Said]
) -> None:
    scene()
    fault()
    result = cli("report", "out", "-o", "page")
    assert result.code == 3
    assert "are missing, damaged or changed" in result.err
    shown = data(Path("page"))
    (text,) = [text for view in shown["views"] for text in view["problems"]]
    assert problem in text
    assert len(shown["images"]) == 5 if fault is not resize else 6


def test_a_change_is_found_in_views_that_are_not_shown(scene: Callable[..., list[Record]]) -> None:
    scene()
    change()
    with pytest.warns(InputWarning):
        nvs_eval.page("out", output="page", views="0001")
    assert "Renders of ours have changed" in data(Path("page"))["messages"][0]
    Path("renders/0/0002.png").unlink()
    with pytest.warns(InputWarning):
        nvs_eval.page("out", output="page", views="0001", overwrite=True)
    assert "Renders of ours may have changed" in data(Path("page"))["messages"][0]


def test_links_keep_their_meaning(scene: Callable[..., list[Record]]) -> None:
    scene()
    Path("elsewhere/deep").mkdir(parents=True)
    file = next(Path("out").rglob("ours/*/*.json"))
    Path("elsewhere/link").symlink_to(file.parent.resolve())
    nvs_eval.page(str(Path("elsewhere/link") / file.name), output="page")
    assert all(view["renders"][0] and not view["problems"] for view in data(Path("page"))["views"])


def test_images_of_other_folders_are_named(
    scene: Callable[..., list[Record]], cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene()
    assert "other folders" not in cli("report", "out", "-o", "page").err
    Path("project").mkdir()
    with monkeypatch.context() as patch:
        patch.chdir("project")
        assert "other folders" not in cli("report", "..", "-o", "first").err
    Path("out").rename("project/out")
    file = next(Path("project/out").rglob("ours/*/*.json"))
    content = json.loads(file.read_text())
    for row_of_view, render in zip(content["views"], ("renders/1/0001.png", "project/link.png"), strict=True):
        row_of_view["render"] = str(Path(render).absolute())
    file.write_text(json.dumps(content))
    Path("private").mkdir()
    Path("renders/1/0002.png").rename("private/photo.png")
    Path("project/link.png").symlink_to(Path("private/photo.png").absolute())
    here = Path.cwd()
    monkeypatch.chdir("project")
    result = cli("report", "out", "-o", "page")
    (line,) = [line for line in result.err.splitlines() if "other folders" in line]
    assert line == f"The page contains images of other folders: {here / 'private'}, {here / 'renders/1'}."


def test_a_page_of_many_views_is_announced(
    scene: Callable[..., list[Record]], cli: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.diagnostics import picture_files

    scene(views=["1", "2", "3", "4", "5"])
    monkeypatch.setattr(picture_files, "_MANY", 2)
    assert "has 5 views, so its page opens slowly. Show fewer with `--every 3`." in cli("report", "out").err
    assert "slowly" not in cli("report", "out", "--every", "3", "--overwrite").err


def test_the_page_says_how_to_keep_renders(cli: Callable[..., Said], here: Path, opener: Any) -> None:
    del opener.given[1:]
    run = ("run", "--load-config", "config.yml", "--protocol", "light.yaml", "--keep-renders", "none")
    assert cli(*run).code == 0
    result = cli("report", "nvs-eval-results")
    assert result.code == 0
    assert result.err.splitlines() == [
        "Scenes: 1 of 1",
        "Some images of fox were not kept. The page says how to keep them.",
        "Page: nvs-eval-page/index.html",
    ]
    messages = data(Path("nvs-eval-page"))["messages"]
    assert len(messages) == 2
    assert all("were not kept. Run it again with `--keep-renders png`" in text for text in messages)


# --- Places ---------------------------------------------------------------------------------------------------------


def test_other_files_are_never_replaced(scene: Callable[..., list[Record]]) -> None:
    scene()
    Path("page").mkdir()
    Path("page/thesis.tex").write_text("all of it")
    Path("mine.html").write_text("<p>mine")
    for output, single in (("page", False), ("mine.html", True), ("mine.html", False)):
        before = files_below(Path())
        for overwrite in (False, True):
            with pytest.raises(InputError, match=output):
                nvs_eval.page("out", output=output, single_file=single, overwrite=overwrite)
        assert files_below(Path()) == before
    assert Path("mine.html").read_text() == "<p>mine"


@pytest.mark.parametrize("single", [False, True])
def test_a_page_is_replaced_as_a_whole_on_request(scene: Callable[..., list[Record]], single: bool) -> None:
    scene()
    made = nvs_eval.page("out", output="page", single_file=single, title="first", maps="flip")
    with pytest.raises(InputError, match="--overwrite to replace the page"):
        nvs_eval.page("out", output="page", single_file=single)
    assert "<title>first</title>" in made.read_text("utf-8")
    nvs_eval.page("out", output="page", single_file=single, title="second", overwrite=True)
    assert "<title>second</title>" in made.read_text("utf-8")
    assert not Path("page/maps").exists()
    if not single:
        Path("page/notes.txt").write_text("mine")
        with pytest.raises(InputError, match=r"not of a page of nvs-eval: notes\.txt\."):
            nvs_eval.page("out", output="page", overwrite=True)
        assert Path("page/notes.txt").read_text() == "mine"


def full(self: PageFiles, path: str, content: bytes) -> None:
    if path == "page.css":
        raise OSError(errno.ENOSPC, "No space left on device", path)
    REAL_WRITE(self, path, content)


def interrupted(self: PageFiles, path: str, content: bytes) -> None:
    if path.startswith("data/"):
        raise KeyboardInterrupt
    REAL_WRITE(self, path, content)


REAL_WRITE = PageFiles.write


@pytest.mark.parametrize("output", ["new/deep/page", "old"])
@pytest.mark.parametrize(("fault", "error"), [(full, InputError), (interrupted, KeyboardInterrupt)])
def test_a_failure_leaves_everything_as_it_was(
    fault: Callable[..., None],
    error: type[BaseException],
    output: str,
    scene: Callable[..., list[Record]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scene()
    nvs_eval.page("out", output="old")
    before = {name: Path(name).read_bytes() for name in files_below(Path())}
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(PageFiles, "write", fault)
        nvs_eval.page("out", output=output, overwrite=True)
    assert {name: Path(name).read_bytes() for name in files_below(Path())} == before


def test_a_failure_while_pages_are_exchanged_keeps_the_old_one(
    scene: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scene()
    nvs_eval.page("out", output="page", title="first")
    before = files_below(Path())
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if (self / "index.html").is_file() and Path(target).name == "page" and not (tried := refuse.__dict__).get("x"):
            tried["x"] = True
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(InputError, match="Input/output error"):
        nvs_eval.page("out", output="page", title="second", overwrite=True)
    assert files_below(Path()) == before
    assert "<title>first</title>" in Path("page/index.html").read_text("utf-8")


def test_too_little_space_and_a_locked_folder_are_found_first(
    scene: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from nvs_eval.diagnostics import picture_files

    scene()
    before = files_below(Path())
    with monkeypatch.context() as patch:
        patch.setattr(picture_files.shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
        with pytest.raises(InputError, match=r"only 0.* are free\. Choose fewer views"):
            nvs_eval.page("out", output="page")

    def locked(self: Path, *args: Any, **options: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(folders.Path, "mkdir", locked)
        with pytest.raises(InputError, match=r"page cannot be written: Permission denied"):
            nvs_eval.page("out", output="page")
    Path("file").write_text("")
    with pytest.raises(InputError, match=r"file is not a folder"):
        nvs_eval.page("out", output="file/page.html", single_file=True)
    Path("file").unlink()
    assert files_below(Path()) == before


def test_a_single_file_has_a_limit(scene: Callable[..., list[Record]], monkeypatch: pytest.MonkeyPatch) -> None:
    from nvs_eval.diagnostics import picture_files

    scene()
    monkeypatch.setattr(picture_files, "_LARGEST_SINGLE", 1000)
    with pytest.raises(InputError, match=r"at most 1.*omit `--single-file`"):
        nvs_eval.page("out", output="page.html", single_file=True)
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"views": "003"}, r"^Unknown view '003'.* Known: 0001, 0002"),
        ({"every": 0}, r"^--every must be at least 1\. Got 0\."),
        ({"maps": "lpips"}, r"^Unknown maps 'lpips'"),
        ({"protocol": "lihgt"}, "^No record has protocol 'lihgt'. Did you mean 'light'"),
        ({"records": "gone"}, "gone"),
        ({"output": "page.html"}, r"^--output must be a folder\. Got page\.html\."),
    ],
)
def test_wrong_options_are_errors(options: dict[str, Any], message: str, scene: Callable[..., list[Record]]) -> None:
    scene()
    before = files_below(Path())
    with pytest.raises(InputError, match=message):
        nvs_eval.page(**{"records": "out", "output": "page", **options})
    assert files_below(Path()) == before


def test_chosen_views_and_records_that_are_not_comparable(scene: Callable[..., list[Record]]) -> None:
    scene()
    nvs_eval.page("out", output="few", views="0002")
    nvs_eval.page("out", output="every", every=2)
    assert [[view["name"] for view in data(Path(name))["views"]] for name in ("few", "every")] == [["0002"], ["0001"]]
    write_images(Path("gt"), {"0001": image(9, 16, 20)})
    score = partial(nvs_eval.score, reference="gt", output_dir="out", protocol="light.yaml", scene=Path.cwd().name)
    score("renders/0", method="other")
    with pytest.raises(InputError, match="references"):
        nvs_eval.page("out", output="mixed")
    with pytest.warns(InputWarning, match="changed"):
        nvs_eval.page("out", output="mixed", allow_mixed=True)
    assert len(data(Path("mixed"))["columns"]) == 3
