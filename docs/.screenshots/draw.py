"""Draw the screenshots of the manual: `draw.py PAGE FOLDER`, from a page of the demo, with Chromium and playwright."""

import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1280, 800


def draw_scene(tab: Any) -> None:
    """Show the tables, plots and first views of the scene."""
    tab.set_viewport_size({"width": WIDTH, "height": 1000})


def draw_view(tab: Any) -> None:
    """Show a view large: all methods, with maps of the absolute error."""
    for key in ("v", "g", "m"):
        tab.keyboard.press(key)
        tab.locator(".exactness", has_text="exact pixels").wait_for()


def main() -> None:
    """Write one PNG for each screenshot."""
    page, folder = Path(sys.argv[1]).resolve() / "index.html", Path(sys.argv[2])
    folder.mkdir(exist_ok=True)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, draw, theme in (("page-scene", draw_scene, "light"), ("page-view", draw_view, "dark")):
            tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=theme)
            tab.goto(page.as_uri())
            tab.locator("li.row img").first.wait_for()
            draw(tab)
            tab.wait_for_timeout(500)
            tab.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
