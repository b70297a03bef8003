"""On what terms images are scored: under which protocols, with which masks, and where the records go."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nvs_eval.errors import InputError
from nvs_eval.evaluation.evaluate import Refusal, Session
from nvs_eval.evaluation.prepare import check_masks
from nvs_eval.evaluation.rendering import Progress
from nvs_eval.evaluation.scorer import Scorer
from nvs_eval.protocols.protocol import Protocol, load_protocol
from nvs_eval.records.record import Record, read_record, record_file, record_name, write_record
from nvs_eval.records.result_id import ResultId
from nvs_eval.system.devices import find_device
from nvs_eval.system.files import write_whole

AUTO = "auto"
"""In the place of a protocol's name: the one that the model's own code follows."""
RESULTS = Path("nvs-eval-results")
"""Where records and renders go if nothing else is said."""


@contextmanager
def _silent(what: str, total: int) -> Iterator[Callable[[], None]]:
    yield lambda: None


def _ignore(message: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told what happens while images are scored; nobody, where nothing is said.

    Attributes:
        progress: shows how far it is.
        say: is given a line at a time.
        warn: likewise, what had better be read.
        on_refusal: is told what a protocol cannot score; if it is None, that is an error.
    """

    progress: Progress = _silent
    say: Callable[[str], None] = _ignore
    warn: Callable[[str], None] = _ignore
    on_refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """On what terms images are scored, whatever they are.

    Attributes:
        protocol: names of protocols, or YAML files.
        colour_correct: adds the `cc_` scores.
        precision: of LPIPS; else as the protocols say, which is exact of all that have a name.
        device: as `find_device` takes it.
        weights_dir: a folder to look for LPIPS backbones first.
        max_memory: the bytes that LPIPS may take beside the images; if it is None, what is free decides.
        scene: its name; else its own.
        method: names of the methods; else their own.
        masks: a folder of masks with the views' names.
        data_masks: whether to score with the masks that came with the data.
        output_dir: where records are written; if it is None, they are not, and the paths in them are as if they were
            below `RESULTS`.
        overwrite: whether records may be replaced whatever they are of.
        command: as the user gave it.
    """

    protocol: Sequence[str] = ("standard",)
    colour_correct: Literal["quadratic", "affine"] | None = None
    precision: Literal["exact", "fast"] | None = None
    device: str = "auto"
    weights_dir: Path | None = None
    max_memory: int | None = None
    scene: str | None = None
    method: Sequence[str] = ()
    masks: Path | None = None
    data_masks: bool = False
    output_dir: Path | None = None
    overwrite: bool = False
    command: tuple[str, ...] = ()

    @property
    def masked(self) -> bool:
        """Whether masks are asked for.

        Raises:
            InputError: twice over.
        """
        if self.masks is not None and self.data_masks:
            raise InputError("--masks names masks and --data-masks takes those of the data: give one of the two.")
        return self.masks is not None or self.data_masks

    def session(self) -> Session:
        """What the records of one command have in common, from now on."""
        return Session(self.output_dir or RESULTS, self.command)

    def protocols(self, *, auto: str | None = None) -> list[Protocol]:
        """The protocols, each once.

        Args:
            auto: the one that `auto` stands for, if there is such a one.

        Raises:
            InputError: one is unknown, or has no meaning for masks and there are some.
        """
        if not self.protocol:
            raise InputError("No protocol was named: say `--protocol standard`, or leave the option out.")
        names = [_own(auto) if name == AUTO else name for name in self.protocol]
        found = [load_protocol(name) for name in names]
        if self.colour_correct is not None:
            found = [protocol.colour_corrected(self.colour_correct) for protocol in found]
        if self.precision is not None:
            found = [protocol.with_precision(self.precision) for protocol in found]
        if self.masked:
            for protocol in found:
                check_masks(protocol, "There are masks")
        return list({protocol.fingerprint: protocol for protocol in found}.values())

    def scorer(self, protocols: Sequence[Protocol]) -> Scorer:
        """The scorer, its weights read and verified.

        Raises:
            InputError: the device or the weights cannot be had.
        """
        return Scorer(tuple(protocols), find_device(self.device), self.weights_dir, self.max_memory)

    def check_not_replaced(self, ids: Sequence[ResultId], protocols: Sequence[Protocol]) -> None:
        """Check that no record would take the place of one that has masks where it has none, or the reverse.

        Raises:
            InputError: naming it.
        """
        if self.output_dir is None or self.overwrite:
            return
        for result, protocol in itertools.product(ids, protocols):
            file = self.output_dir / result.folder / record_name(protocol.name, protocol.fingerprint)
            try:
                record = read_record(file)
            except InputError:
                continue  # There is none, or none that could be read.
            before = any(row.coverage is not None for row in record.views)
            if before != (self.masked and protocol.takes_masks):
                raise InputError(
                    f"{file} was scored {'with' if before else 'without'} masks, and would be replaced: say another "
                    "`--output-dir`, or `--overwrite`."
                )

    def check_output(self) -> None:
        """Check that records can be written, before any long work. Nothing is left of it, nor is an empty folder.

        Raises:
            InputError: they cannot.
        """
        if self.output_dir is None:
            return
        missing = [path for path in (self.output_dir, *self.output_dir.parents) if not path.exists()]
        probe = self.output_dir / f".nvs-eval-{os.getpid()}"
        write_whole(probe, lambda file: file.write(b""))
        probe.unlink()
        with suppress(OSError):  # Another command may have begun to write there.
            for path in missing:
                path.rmdir()

    def write(self, records: Sequence[Record], watch: Watch) -> None:
        """Write records to their places, if they are to be written, and say where.

        Raises:
            InputError: one cannot be written.
        """
        if self.output_dir is None:
            return
        for record in records:
            path = record_file(record, self.output_dir)
            write_record(path, record)
            watch.say(f"Record: {shlex.quote(str(path))}")


def not_known(where: str) -> InputError:
    """The error that `--protocol auto` stands for nothing.

    Args:
        where: `here`, or of what.
    """
    return InputError(
        f"`--protocol {AUTO}` stands for what the model's own code says, and that is not known {where}: only of "
        "nerfstudio's own models in `nvs-eval run`. Name a protocol: `nvs-eval protocols` lists them."
    )


def _own(auto: str | None) -> str:
    if auto is None:
        raise not_known("here")
    return auto
