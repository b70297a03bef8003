"""`nvs-eval protocols`: the named protocols, or one of them in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class ProtocolsCommand:
    """List the named protocols, each with its fingerprint and what it follows, or show one in words."""

    protocol: Annotated[Positional[str | None], arg(metavar="NAME|FILE.yaml")] = None
    """A named protocol, or a YAML file."""

    def run(self) -> int:
        """Print the list, or the one."""
        from nvs_eval.api.installed import protocol_words
        from nvs_eval.cli.console import results

        out = results()
        words = _list() if self.protocol is None else protocol_words(self.protocol, width=out.width)
        out.print(words, markup=False, soft_wrap=True)
        return 0


def _list() -> str:
    from nvs_eval.protocols import load_protocol, named_protocols
    from nvs_eval.report.words import summary_of

    named = named_protocols()
    width = max(map(len, named), default=0)
    summaries = {name: summary_of(path.read_text(encoding="utf-8")) for name, path in named.items()}
    return "\n".join(
        f"{name:{width}}  {load_protocol(name).fingerprint}  {summary}".rstrip() for name, summary in summaries.items()
    )
