"""The report page in a real browser, opened from disk."""

from __future__ import annotations

import io
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.page_folder import make_page, write_page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PLAIN = ("base", "blurred", "noisy"), ("0001", "0002", "0003", "0004")
HOSTILE = (
    ('a "b" <b>c</b>', "</script><script>window.hacked = 1</script>", "手法 & طريقة"),
    ("cam 0/'1'", "<img src=x onerror='window.hacked=1'>", "日本語?#%20", "صورة &amp; 4"),
)
LARGE = "v=0002&a=2&b=0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    (folder / "plain").mkdir()
    write_page(folder / "plain", *PLAIN)
    make_page(folder / "hostile", *HOSTILE)
    return {name: folder / name for name in ("plain", "hostile", "hostile-single")}


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    """Open a page with a state; at the end, nothing was reported and no request left the folder."""
    problems: list[str] = []
    contexts = []

    def open_page(state: str = "", *, name: str = "plain", **options: Any) -> Any:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        tab = context.new_page()
        inside = pages[name].as_uri() + "/"
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on(
            "request",
            lambda request: None if request.url.startswith((inside, "data:")) else problems.append(request.url),
        )
        tab.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        tab.goto(f"{inside}index.html" + (f"#{state}" if state else ""))
        tab.locator("li.row").first.wait_for(state="attached")
        if "v=" in state:
            wait_until_drawn(tab)
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert not problems


def wait_until_drawn(tab: Any) -> None:
    tab.locator(".exactness", has_text="exact pixels").wait_for()
    tab.locator(".pane .problem:empty").first.wait_for(state="attached")


def names(tab: Any) -> list[str]:
    return tab.eval_on_selector_all("li.row", "rows => rows.map(row => row.dataset.view)")


def labels(tab: Any) -> list[str]:
    return tab.locator(".pane .label").all_inner_texts()


def colour(tab: Any, pane: int = 0, x: float = 0.5, y: float = 0.5) -> list[int]:
    """The colour of a pane 4 screen pixels beyond a share of its size, which is the edge of an image pixel."""
    tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    box = tab.locator(".pane canvas").nth(pane).bounding_box()
    place = {"x": box["x"] + box["width"] * x + 4, "y": box["y"] + box["height"] * y + 4, "width": 1, "height": 1}
    return list(Image.open(io.BytesIO(tab.screenshot(clip=place))).convert("RGB").tobytes())


def values(tab: Any) -> list[str]:
    return [" ".join(text.split()) for text in tab.locator("#side .value").all_inner_texts()]


def at_address(tab: Any, part: str) -> bool:
    tab.wait_for_url(f"**{part}**", wait_until="commit", timeout=3000)
    return True


# --- Tables and rows ---


def test_tables_sort_by_a_click_and_return_to_print(visit: Callable[..., Any]) -> None:
    tab = visit()
    rows = tab.locator(".tables tbody th")
    printed = rows.all_inner_texts()
    heading = tab.get_by_role("button", name="views")
    heading.click()
    assert rows.all_inner_texts() == printed[::-1]
    heading.click()
    assert rows.all_inner_texts() == printed
    assert tab.locator("th[aria-sort=descending]").count() == 1
    heading.click()
    assert tab.locator("th[aria-sort]").count() == 0


def test_views_sort_by_a_method_and_by_a_difference(visit: Callable[..., Any]) -> None:
    tab = visit()
    tab.locator("label", has_text="Metric").locator("select").select_option("mae")
    sort = tab.locator("label", has_text="Sort by MAE").locator("select")
    sort.select_option("2")
    assert names(tab) == ["0004", "0003", "0002", "0001"]
    sort.select_option("diff")
    assert names(tab) == ["0004", "0003", "0002", "0001"]
    tab.get_by_role("button", name="Swap").click()
    assert names(tab) == ["0001", "0002", "0003", "0004"]
    assert at_address(tab, "sort=diff")


def test_plots_show_the_nearest_view_and_open_it(visit: Callable[..., Any]) -> None:
    tab = visit("metric=mae")
    plot = tab.locator(".plot", has_text="MAE of each view").locator("svg")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    last = plot.locator(".dots").get_attribute("d").split("M")[-1]
    dot = [float(number) for number in last.removesuffix("h0").split()]
    scale = box["width"] / 360
    tab.mouse.move(box["x"] + dot[0] * scale, box["y"] + dot[1] * scale)
    assert "0004: 0.0600 → 0.1200 (+0.0600)" in tab.locator(".tip:visible").inner_text()
    tab.mouse.click(box["x"] + dot[0] * scale, box["y"] + dot[1] * scale)
    assert tab.locator("#view-title").inner_text().startswith("0004")


def test_missing_images_are_named(visit: Callable[..., Any]) -> None:
    tab = visit()
    assert "1 render was not kept" in tab.locator(".messages").inner_text()
    assert tab.locator(".absent").count() == 1
    tab.locator(".row .absent").click()
    assert tab.locator(".pane .problem").inner_text() == "There is no image of this render."


def test_the_theme_stays_when_another_scene_is_opened(visit: Callable[..., Any]) -> None:
    tab = visit("theme=dark&v=0002")
    tab.keyboard.press("Escape")
    tab.get_by_role("link", name="again").click()
    assert at_address(tab, "#s=1&theme=dark")
    assert tab.locator("nav a[aria-current]").inner_text() == "again"
    assert names(tab) == list(PLAIN[1])


# --- One view large ---


def test_space_flips_between_the_last_two_and_digits_choose(visit: Callable[..., Any]) -> None:
    tab = visit(LARGE)
    assert labels(tab) == ["blurred"]
    shown = colour(tab)
    tab.keyboard.press(" ")
    assert labels(tab) == ["Reference"]
    assert all(render - reference in (10, 11) for render, reference in zip(shown, colour(tab), strict=True))
    tab.keyboard.press("3")
    assert labels(tab) == ["noisy"]
    tab.keyboard.press(" ")
    tab.keyboard.press("ArrowRight")
    assert labels(tab) == ["Reference"]
    assert tab.locator("#view-title").inner_text().startswith("0003")
    tab.keyboard.press("Escape")
    assert tab.locator("#viewer").count() == 0
    tab.go_back()
    assert tab.locator("#view-title").inner_text().startswith("0003")


def test_values_are_those_of_the_images(visit: Callable[..., Any]) -> None:
    tab = visit("v=0002&a=err:2&b=0")
    tab.locator("#side .value", has_text="|e|").nth(2).wait_for()
    assert values(tab) == [
        "102 102 82 0.4000 0.4000 0.3200",
        "107 107 87 0.4200 0.4200 0.3400 |e| 0.0200",
        "112 112 92 0.4400 0.4400 0.3600 |e| 0.0400",
        "117 117 97 0.4600 0.4600 0.3800 |e| 0.0600",
    ]


def test_zoom_is_in_step_and_shows_single_pixels(visit: Callable[..., Any]) -> None:
    tab = visit("v=0002&a=1&b=0&m=grid&z=16")
    assert labels(tab) == ["Reference", "base", "blurred", "noisy"]
    assert colour(tab, 0) == [102, 102, 82]
    assert colour(tab, 2) == [112, 112, 92]
    box = tab.locator(".pane").nth(2).bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 2 - 32, box["y"] + box["height"] / 2, steps=4)
    tab.mouse.up()
    # Two pixels to the right in all panes; red rises by 4.25 per pixel.
    assert colour(tab, 0) == [111, 102, 82]
    assert colour(tab, 2) == [121, 112, 92]
    tab.mouse.wheel(0, -500)
    assert at_address(tab, "z=33.8")


def test_the_slider_moves_by_mouse_and_keys(visit: Callable[..., Any]) -> None:
    tab = visit(f"{LARGE}&m=slider&z=40")
    left, right = colour(tab, x=0.25), colour(tab, x=0.75)
    assert labels(tab) == ["blurred", "Reference"]
    box = tab.locator(".stage").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 300)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + 300, steps=3)
    tab.mouse.up()
    assert colour(tab, x=0.75) == right
    assert colour(tab, x=0.25) != left
    tab.get_by_role("slider").focus()
    tab.keyboard.press("ArrowRight")
    assert at_address(tab, "w=0.22")


def test_insets_stay_while_methods_and_views_change(visit: Callable[..., Any]) -> None:
    tab = visit(LARGE)
    tab.keyboard.press("i")
    tab.keyboard.press("Shift+ArrowRight")
    tab.keyboard.press("i")
    assert tab.locator(".crop").count() == 8
    tab.keyboard.press("3")
    tab.keyboard.press("ArrowRight")
    assert tab.locator(".crop").count() == 8
    tab.keyboard.press("Shift+I")
    assert tab.locator(".crop").count() == 0


def test_maps_have_one_range_for_all_methods(visit: Callable[..., Any]) -> None:
    tab = visit("v=0002&a=err:1&b=0&m=grid")
    tab.locator(".gradient").wait_for()
    # Errors of 0.02, 0.04 and 0.06: the range ends at the next of 1, 2 and 5.
    assert tab.locator(".bar-of-map").inner_text().split() == ["Absolute", "error", "0", "0.1"]
    first, last = sum(colour(tab, 1)), sum(colour(tab, 3))
    assert first < last
    tab.keyboard.press("]")
    assert at_address(tab, "range=0.2")
    tab.keyboard.press("m")
    tab.keyboard.press("m")
    assert tab.locator(".bar-of-map").inner_text().split() == ["Signed", "error", "\N{MINUS SIGN}0.2", "0.2"]
    tab.keyboard.press("g")
    assert labels(tab) == ["Signed error of base"]


def test_links_restore_every_state(visit: Callable[..., Any]) -> None:
    state = "v=0003&m=slider&a=sq%3A2&b=1&z=5&x=0.25&y=0.75&w=0.3&i1=4%2C4%2C8%2C8"
    state += "&range=0.2&metric=mae&sort=diff&diff=1%2C3&theme=dark"
    tab = visit(state)
    assert labels(tab) == ["Squared error of blurred", "base"]
    assert tab.locator(".zoom").inner_text() == "500 %"
    assert tab.locator(".bar-of-map").inner_text().split()[-1] == "0.04"
    assert tab.locator("html").get_attribute("data-theme") == "dark"
    tab.keyboard.press(".")
    assert at_address(tab, state.replace("w=0.3", "w=0.35"))
    tab.keyboard.press("Escape")
    assert names(tab)[0] == "0004"


def test_keys_are_listed_and_can_be_disabled(visit: Callable[..., Any]) -> None:
    tab = visit(LARGE)
    tab.keyboard.press("?")
    tab.get_by_label("Keys of one character").uncheck()
    tab.get_by_role("button", name="Close").click()
    tab.keyboard.press("3")
    assert labels(tab) == ["blurred"]


def test_the_verdict_and_the_causes_are_shown(visit: Callable[..., Any]) -> None:
    tab = visit("v=0002&a=2&b=1")
    assert tab.locator("#side .verdict").inner_text() == "blurred is worse than base."
    tab.keyboard.press("Escape")
    assert "noisy is blurred." in tab.locator(".causes").inner_text()


def test_a_phone_pans_by_touch(visit: Callable[..., Any]) -> None:
    tab = visit(f"{LARGE}&z=12", viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 390
    touch = tab.context.new_cdp_session(tab)
    box = tab.locator(".stage").bounding_box()
    y = box["y"] + box["height"] / 2

    def send(kind: str, *places: float) -> None:
        points = [{"x": x, "y": y, "id": number} for number, x in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", 150, 240)
    send("touchMove", 105, 285)
    send("touchEnd")
    assert at_address(tab, "z=24")


def test_strips_of_many_methods_have_the_numbers_of_the_legend(browser: Any, tmp_path: Path) -> None:
    tab = browser.new_page()
    tab.goto(write_page(tmp_path, [f"method {k}" for k in range(7)], ["0001", "0002"]).as_uri())
    strips = tab.locator(".plot", has_text="of all views").locator("svg text:not(.title)")
    strips.first.wait_for(state="attached")
    assert strips.all_text_contents()[-7:] == ["1", "2", "3", "4", "5", "6", "7"]
    legend = tab.locator(".legend li").all_inner_texts()
    assert legend == [f"{k + 1} method {k}" for k in range(7)]
    tab.close()


# --- Both pages ---


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["plain", "hostile"])
def test_axe_finds_no_violation(visit: Callable[..., Any], name: str, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    tab = visit(name=name, color_scheme=theme, bypass_csp=True)
    assert axe.run(tab, options={"preload": False}).response["violations"] == []
    tab.keyboard.press("v")
    wait_until_drawn(tab)
    for key in ("i", "s", "m", "g"):
        tab.keyboard.press(key)
    assert axe.run(tab, options={"preload": False}).response["violations"] == []
    tab.keyboard.press("?")
    assert axe.run(tab, options={"preload": False}).response["violations"] == []


@pytest.mark.long
def test_200_views_of_5_methods_open_and_scroll_fast(browser: Any, tmp_path: Path) -> None:
    html = write_page(tmp_path, [f"method {k}" for k in range(5)], [f"frame_{k:05d}" for k in range(200)])
    for place, file in enumerate(sorted((tmp_path / "thumbs").iterdir())):
        Image.effect_noise((320, 213), 20 + place % 50).convert("RGB").save(file, quality=70)
    tab = browser.new_page(viewport={"width": 1920, "height": 1080})
    began = time.perf_counter()
    tab.goto(html.as_uri())
    tab.locator("li.row img").first.wait_for()
    assert time.perf_counter() - began < 2
    script = """() => new Promise(done => {
        const times = [];
        let y = 0, last = 0;
        const step = now => {
            if (last) times.push(now - last);
            last = now;
            scrollTo(0, y += 60);
            y < document.documentElement.scrollHeight ? requestAnimationFrame(step) : done(times);
        };
        requestAnimationFrame(step);
    })"""
    times = sorted(tab.evaluate(script))
    tab.close()
    assert len(times) > 200
    assert times[int(0.95 * len(times))] <= 50


@pytest.mark.parametrize("name", ["hostile", "hostile-single"])
def test_names_are_text_and_every_view_opens(visit: Callable[..., Any], name: str) -> None:
    tab = visit(name=name)
    methods, views = sorted(HOSTILE[0]), names(tab)
    assert sorted(views) == sorted(HOSTILE[1])
    assert tab.locator(".names b").all_inner_texts() == ["Reference", *methods]
    tab.keyboard.press("v")
    for view in views:
        assert tab.locator("#view-title").inner_text().startswith(view)
        tab.keyboard.press("2")
        wait_until_drawn(tab)
        assert labels(tab) == [methods[1]]
        tab.keyboard.press("ArrowRight")
    assert tab.evaluate("() => window.hacked") is None
