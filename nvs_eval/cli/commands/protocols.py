"""`nvs-eval protocols`: list the named protocols, or explain one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class ProtocolsCommand:
    """List the named protocols with fingerprints and origins, or explain one."""

    protocol: Annotated[Positional[str | None], arg(metavar="[NAME|FILE.yaml]")] = None
    """Protocol to explain: a name or a YAML file (default: list all)."""

    def run(self) -> int:
        """Print the list or the explanation."""
        from nvs_eval.api.installed import protocol_words
        from nvs_eval.cli.console import results
        from nvs_eval.protocols import load_protocol

        if self.protocol == "":
            load_protocol(self.protocol)  # Raises the error that lists the names.
        out = results()
        words = _list() if self.protocol is None else protocol_words(self.protocol, width=out.width)
        out.print(words, soft_wrap=True)
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
