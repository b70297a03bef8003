"""What the commands that score have in common: their options, and the steps from them to a scorer and records."""

from __future__ import annotations

import itertools
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nvs_eval.errors import InputError

if TYPE_CHECKING:
    import torch

    from nvs_eval.protocols import Protocol
    from nvs_eval.records import Record
    from nvs_eval.scorer import Scorer
    from nvs_eval.views import Column

AUTO = "auto"
"""In the place of a protocol's name: the one that the model's own code follows."""


@dataclass(frozen=True, kw_only=True)
class ProtocolOptions:
    """What is computed, and where."""

    protocol: tuple[str, ...] = ("standard",)
    """How to score: names of protocols (`nvs-eval protocols` lists them), or YAML files. Several share the work."""
    colour_correct: Literal["quadratic", "affine"] | None = None
    """Add the cc_ scores, of the renders with their colours fitted to the references."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, ..."""
    weights_dir: Path | None = None
    """A folder to look for LPIPS backbones first (else the environment variable NVS_EVAL_WEIGHTS)."""
    per_view: bool = False
    """Also print the scores of each view."""

    def protocols(self, *, auto: str | None = None, masked: bool = False) -> list[Protocol]:
        """The protocols, each once.

        Args:
            auto: the one that `auto` stands for, if there is such a one.
            masked: whether there are masks.

        Raises:
            InputError: one is unknown, or has no meaning for masks and there are some.
        """
        from nvs_eval.prepare import check_masks
        from nvs_eval.protocols import load_protocol

        if not self.protocol:
            raise InputError("No protocol was named: say `--protocol standard`, or leave the option out.")
        names = [_own(auto) if name == AUTO else name for name in self.protocol]
        found = [load_protocol(name) for name in names]
        if self.colour_correct is not None:
            found = [protocol.colour_corrected(self.colour_correct) for protocol in found]
        if masked:
            for protocol in found:
                check_masks(protocol, "There are masks")
        return list({protocol.fingerprint: protocol for protocol in found}.values())

    def scorer(self, protocols: Sequence[Protocol]) -> Scorer:
        """The scorer, its weights read and verified.

        Raises:
            InputError: the device or the weights cannot be had.
        """
        from nvs_eval.scorer import Scorer

        return Scorer(tuple(protocols), find_device(self.device), self.weights_dir)


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


@dataclass(frozen=True, kw_only=True)
class ScoringOptions(ProtocolOptions):
    """The options of every command that scores."""

    scene: str | None = None
    """The scene's name in records and tables."""
    method: tuple[str, ...] = ()
    """The methods' names in records and tables, in the order of the folders or runs; one name does for several runs.
    Else their own."""
    masks: Path | None = None
    """A folder of masks with the views' names: white pixels count, as the protocol says."""
    data_masks: bool = False
    """Score with the masks that came with the data, or with predictions of NerfBaselines."""
    output_dir: Path = Path("nvs-eval-results")
    """Where records and renders are written."""
    overwrite: bool = False
    """Render and score again what `run` has a record of; replace records of other masks."""

    @property
    def masked(self) -> bool:
        """Whether masks are asked for.

        Raises:
            InputError: twice over.
        """
        if self.masks is not None and self.data_masks:
            raise InputError("--masks names masks and --data-masks takes those of the data: give one of the two.")
        return self.masks is not None or self.data_masks

    def check_not_replaced(self, columns: Sequence[Column], protocols: Sequence[Protocol]) -> None:
        """Check that no record would take the place of one that has masks where it has none, or the reverse.

        Raises:
            InputError: naming it.
        """
        from nvs_eval.records import read_record, record_name

        for column, protocol in () if self.overwrite else itertools.product(columns, protocols):
            file = self.output_dir / place_of(column) / record_name(protocol.name, protocol.fingerprint)
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
        from nvs_eval.whole_files import write_whole

        missing = [path for path in (self.output_dir, *self.output_dir.parents) if not path.exists()]
        probe = self.output_dir / f".nvs-eval-{os.getpid()}"
        write_whole(probe, lambda file: file.write(b""))
        probe.unlink()
        with suppress(OSError):  # Another command may have begun to write there.
            for path in missing:
                path.rmdir()


def find_device(name: str) -> torch.device:
    """The device a user means; `auto` is the graphics card where there is one.

    Raises:
        InputError: there is no such device here.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"The device {name!r} cannot be used here: {reason} Say `--device cpu`, or auto.") from error
    return device


def command_line() -> tuple[str, ...]:
    """The command as the user gave it."""
    return (Path(sys.argv[0]).name, *sys.argv[1:])


def place_of(result: Column | Record) -> Path:
    """Where the records of a result lie, below the output folder: what identifies it."""
    from nvs_eval.records import record_folder

    return record_folder(Path(), result.scene, result.method, result.run, result.step)


def check_distinct(columns: Sequence[Column]) -> None:
    """Check that no two columns would be written to one place.

    Raises:
        InputError: naming them.
    """
    seen: dict[Path, Column] = {}
    for column in columns:
        place = place_of(column)
        if place in seen:
            raise InputError(
                f"{seen[place]} was given twice: two results of one name would overwrite each other. Name one of them "
                "with `--method`, or give it once."
            )
        seen[place] = column


@contextmanager
def memory_advice() -> Iterator[None]:
    """Turn an out-of-memory error into what to do about it."""
    import torch

    try:
        yield
    except torch.cuda.OutOfMemoryError as error:  # Its name in every torch; torch.OutOfMemoryError came with 2.5.
        raise InputError(_advice("the graphics card", error)) from error
    except MemoryError as error:
        raise InputError(_advice("this machine", error)) from error
    except RuntimeError as error:
        if "not enough memory" in str(error) or "can't allocate memory" in str(error):
            raise InputError(_advice("this machine", error)) from error
        raise


def _advice(where: str, error: BaseException) -> str:
    reason = (str(error).splitlines() or [""])[0]
    return (
        f"Out of memory on {where}: {reason} Lower `--eval-num-rays-per-chunk` where it happened in rendering; score "
        "fewer folders, steps or configs at once where it happened in scoring; or say `--device cpu`."
    )


def write_all(records: Sequence[Record], output_dir: Path) -> None:
    """Write records to their places, and say where.

    Raises:
        InputError: one cannot be written.
    """
    from nvs_eval.cli.console import say
    from nvs_eval.records import record_file, write_record

    for record in records:
        path = record_file(record, output_dir)
        write_record(path, record)
        say(f"Record: {shlex.quote(str(path))}")
