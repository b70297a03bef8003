"""`nvs-eval report`: a page to look at results."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from nvs_eval.report.page.options import PageOptions


@dataclass(frozen=True, kw_only=True)
class ReportCommand(PageOptions):
    """Make a page to look at results: tables, plots, and the images of all views, which flip and zoom in step.

    The page is one folder that opens from disk and needs no network. Images that were not kept, or have changed since
    they were scored, are named on the page. The exit code is 3 if images that records name are missing, damaged or
    changed.
    """

    records: Annotated[Positional[tuple[str, ...]], arg(metavar="RECORD|DIR|GLOB [...]")]
    output: Annotated[Path, arg(aliases=["-o"])] = Path("nvs-eval-page")

    def run(self) -> int:
        """Make the page and print the file to open."""
        from nvs_eval.api.page import make_page
        from nvs_eval.cli.console import say
        from nvs_eval.cli.options import EXIT_FAILED, callbacks

        options = PageOptions(**{one.name: getattr(self, one.name) for one in fields(PageOptions)})
        page = make_page(options, callbacks())
        if page.lost:
            say(page.lost, style="yellow")
        say(f"Page: {shlex.quote(str(page.file))}")
        return EXIT_FAILED if page.lost else 0
