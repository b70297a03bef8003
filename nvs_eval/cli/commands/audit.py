"""`nvs-eval audit`: what every tool would have said of the same renders."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from nvs_eval.cli.commands.run import Run
from nvs_eval.cli.commands.score import Score
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import ScoringOptions

if TYPE_CHECKING:
    from nvs_eval.evaluation.options import Terms
    from nvs_eval.protocols.protocol import Protocol
    from nvs_eval.records.record import Record
    from nvs_eval.records.result_id import ResultId


@dataclass(frozen=True, kw_only=True)
class Audit(Run, Score):
    """Score the same renders under every protocol, and say which of the numbers may be compared.

    Takes what `score` takes, or with `--load-config` what `run` takes; the options of the other are an error. Images
    are rendered and decoded once, and what protocols share is computed once. The records are those that each protocol
    alone would give.
    """

    renders: Annotated[Positional[tuple[Path, ...]], arg(metavar="[RENDERS ...]")] = ()
    """Folders of renders, as for `score`; its options: --reference, --background, --grey-to-rgb, --exr,
    --allow-missing."""
    load_config: tuple[Path, ...] = ()
    """The config.yml of trained runs, as for `run`; its options: --steps, --split, --views, --every, --data,
    --eval-num-rays-per-chunk, --keep-renders."""
    protocol: tuple[str, ...] = ()
    """Names of protocols, or YAML files; else all that have a name, as far as they can score these renders."""

    def run(self) -> int:
        """Score, write the records, print a table and words for each result."""
        from nvs_eval.cli.console import put_sentences, results
        from nvs_eval.report.tables.tables import per_view_tables
        from nvs_eval.report.words.audit import audit_table, audit_words
        from nvs_eval.report.writers.text import print_text

        folders = (*self.renders, *self.model_paths)
        if bool(folders) == bool(self.load_config):
            raise InputError(
                "An audit is of folders of renders, as `nvs-eval score` takes them, or with `--load-config` of trained "
                "runs, as `nvs-eval run` does: give the one or the other."
            )
        kind, other = (Run, Score) if self.load_config else (Score, Run)
        self._check_options_of(other)
        sinks = self.sinks()
        self._say_unmasked()
        records = kind.records(self, None if self.protocol else _say_refusal)
        if not records:
            raise InputError("No protocol can score these renders; each said why.")
        out = results()
        for together in _by_result(records):
            print_text(audit_table(together), out)
            put_sentences([*audit_words(together), ""])
            for table in per_view_tables(together) if self.per_view else ():
                print_text(table, out)
        self.log_records(sinks, [(self.output_dir, record) for record in records])
        return 0

    def _check_options_of(self, other: type[Run | Score]) -> None:
        """Check that no option was given that is for the other kind of renders: it would do nothing.

        Raises:
            InputError: naming it.
        """
        common = {option.name for option in fields(ScoringOptions)}
        for option in fields(other):
            if option.name not in common and getattr(self, option.name) != getattr(Audit, option.name):
                said = "trained runs (`--load-config`)" if other is Run else "folders of renders"
                raise InputError(
                    f"`--{option.name.replace('_', '-')}` is for {said}, and these are none: leave it out."
                )

    def terms(self) -> Terms:
        """On the protocols that were named, or all; where there are masks, all that know what to do with one."""
        terms = super().terms()
        if self.protocol:
            return terms
        masked = terms.masked
        return replace(terms, protocol=[name for name, p in _all().items() if not masked or p.mask != "none"])

    def _say_unmasked(self) -> None:
        """Say which protocols are left out for the masks, once for all renders."""
        from nvs_eval.cli.console import say

        if self.protocol or not (self.masks is not None or self.data_masks):
            return
        unmasked = [protocol.name for protocol in _all().values() if protocol.mask == "none"]
        if unmasked:
            have = "it has" if len(unmasked) == 1 else "they have"
            say(f"Not under {', '.join(unmasked)}: {have} no meaning for masks.")


def _all() -> dict[str, Protocol]:
    """All protocols that have a name, by it, the default first."""
    from nvs_eval.protocols.protocol import DEFAULT, load_protocol, named_protocols

    names = sorted(named_protocols(), key=lambda name: (name != DEFAULT, name))
    return {name: load_protocol(name) for name in names}


def _say_refusal(protocol: Protocol, error: InputError) -> None:
    from nvs_eval.cli.console import say

    say(f"Not under {protocol.name}: {error}")


def _by_result(records: list[Record]) -> list[list[Record]]:
    """The records of each scene, method, run and step."""
    groups: dict[ResultId, list[Record]] = {}
    for record in records:
        groups.setdefault(record.id, []).append(record)
    return list(groups.values())
