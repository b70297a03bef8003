"""`nvs-eval protocols`: the named protocols, or one of them in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class ProtocolsCommand:
    """List the named protocols, each with its fingerprint and what it follows, or show one in words."""

    protocol: Annotated[Positional[str | None], arg(metavar="NAME|FILE.yaml")] = None
    """A named protocol, or a YAML file."""

    def run(self) -> int:
        """Print the list, or the one."""
        from nvs_eval.cli.console import results

        out = results()
        lines = _list() if self.protocol is None else _in_words(self.protocol, width=out.width)
        for line in lines:
            out.print(line, markup=False, soft_wrap=True)
        return 0


def _list() -> Iterator[str]:
    from nvs_eval.protocols import load_protocol, named_protocols
    from nvs_eval.report.words import summary_of

    named = named_protocols()
    width = max(map(len, named), default=0)
    for name, path in named.items():
        summary = summary_of(path.read_text(encoding="utf-8"))
        yield f"{name:{width}}  {load_protocol(name).fingerprint}  {summary}".rstrip()


def _in_words(given: str, *, width: int) -> Iterator[str]:
    """Lines of text: what the file says of itself, the preparation, the metrics with their signatures."""
    from nvs_eval.protocols import load_protocol, named_protocols
    from nvs_eval.report.tables.table import metric_column
    from nvs_eval.report.words import comments_of, metric_words, preparation_words

    protocol = load_protocol(given)
    yield from [*_wrapped(f"{protocol.name} ({protocol.fingerprint})", width), ""]
    text = Path(named_protocols().get(given, given)).read_text(encoding="utf-8")
    for paragraph in comments_of(text):
        yield from [*_wrapped(paragraph, width), ""]
    yield "How the images are prepared, in this order:"
    for number, step in enumerate(preparation_words(protocol.definition), start=1):
        yield from _wrapped(step, width, indent=f"{number:3}. ")
    yield from ["", "What is computed:"]
    own = {metric.name: metric.signature for metric in protocol.descriptions}
    for name, info in protocol.infos.items():
        words = metric_words(name, own.get(name, ""), protocol.metrics[name])
        yield from _wrapped(f"{metric_column(name, info).heading}: {words}", width, indent="  ")
        yield f"     {info.signature}"


def _wrapped(text: str, width: int, *, indent: str = "") -> list[str]:
    """A paragraph in lines: those of a terminal, elsewhere a single one."""
    from nvs_eval.report.tables.table import printable

    return wrap(
        printable(text),
        width,
        initial_indent=indent,
        subsequent_indent=" " * 5 if indent else "",
        break_long_words=False,
        break_on_hyphens=False,
    )
