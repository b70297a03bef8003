"""Hostile checkpoints of a nerfstudio run, given to `nvs-eval run`."""

from __future__ import annotations

import pickle
import shutil
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.commands import Said
from support.hostile import Case, Payload
from torch import Tensor

pytest.importorskip("nerfstudio", reason="nerfstudio is not installed", exc_type=ImportError)

from support.tiny_run import CHECKPOINT, RUN, write_run

from nvs_eval_nerfstudio import source

WEIGHT = "_model.field.mlp_head.layers.0.weight"


def changed(change: Callable[[Tensor], Any], key: str = WEIGHT) -> Callable[[], list[str]]:
    """Change one entry."""

    def make() -> list[str]:
        write_run(state=lambda state: state.update({key: change(state[key])}))
        return RUN

    return make


def all_changed(change: Callable[[Tensor], Any]) -> Callable[[], list[str]]:
    """Change all entries of floats."""

    def state(entries: dict[str, Any]) -> None:
        for key, tensor in entries.items():
            if tensor.is_floating_point():
                entries[key] = change(tensor)

    def make() -> list[str]:
        write_run(state=state)
        return RUN

    return make


def saved(content: Callable[[], Any], **options: Any) -> Callable[[], list[str]]:
    """Replace the file by another one of `torch.save`."""

    def make() -> list[str]:
        write_run()
        torch.save(content(), CHECKPOINT, **options)
        return RUN

    return make


def rezipped(
    change: Callable[[str, bytes], bytes] = lambda name, data: data, compression: int = zipfile.ZIP_STORED
) -> Callable[[], list[str]]:
    """Pack the archive again."""

    def make() -> list[str]:
        write_run()
        original = CHECKPOINT.rename("original.ckpt")
        with zipfile.ZipFile(original) as packed, zipfile.ZipFile(CHECKPOINT, "w", compression) as archive:
            for entry in packed.infolist():
                archive.writestr(entry.filename, change(entry.filename, packed.read(entry)))
        return RUN

    return make


def flipped() -> list[str]:
    """Flip a bit of a tensor's values."""
    write_run()
    data = bytearray(CHECKPOINT.read_bytes())
    with zipfile.ZipFile(CHECKPOINT) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith("/data/5"))
    name, extra = (int.from_bytes(data[entry.header_offset + n :][:2], "little") for n in (26, 28))
    data[entry.header_offset + 30 + name + extra] ^= 1
    CHECKPOINT.write_bytes(data)
    return RUN


def second_name(prefix: str) -> Callable[[], list[str]]:
    """Add an entry whose name becomes that of another one."""

    def make() -> list[str]:
        write_run(state=lambda state: state.update({prefix + WEIGHT: state[WEIGHT] * 0}))
        return RUN

    return make


def structure(data: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, before: data if name.endswith("data.pkl") else before


def laughing() -> bytes:
    """Return a pickle of a dictionary whose key is a tuple of two tuples of two tuples, and so on."""
    levels = b"".join(b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60))
    return b"\x80\x02}(" + b")q\x00" + levels + b"K\x01u."


def renamed(name: str) -> Callable[[], list[str]]:
    """Put the tuples into an entry whose name only torch takes for its own."""

    def make() -> list[str]:
        write_run()
        with zipfile.ZipFile(CHECKPOINT, "w") as archive:
            archive.writestr(f"archive/{name}", laughing())
            archive.writestr("archive/version", "3\n")
        return RUN

    return make


def two_directories() -> list[str]:
    """Append an archive whose last record names the directory of the first one."""
    rezipped(structure(laughing()))()
    first = CHECKPOINT.read_bytes()
    rezipped()()
    record = first[-22:]
    CHECKPOINT.write_bytes(first[:-22] + CHECKPOINT.read_bytes()[:-22] + record)
    return RUN


def calls(function: str, *arguments: bytes, operation: bytes = b"R") -> Callable[[], list[str]]:
    """Put the result of a call into the structure."""
    module, _, name = function.rpartition(".")
    called = b"c" + f"{module}\n{name}\n".encode() + b"(" + b"".join(arguments) + b"t" + operation
    return rezipped(structure(b"\x80\x02}(K\x01" + called + b"u."))


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little")


def unicode(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def with_attribute() -> dict[str, Any]:
    """Return a checkpoint whose dictionary has an attribute in the place of a method."""
    pipeline: Any = OrderedDict()
    pipeline.keys = 5
    return {"step": 7, "pipeline": pipeline}


def with_number(tensor: Tensor) -> Tensor:
    """Return a tensor with an attribute in the place of a method."""
    tensor = tensor.clone()
    vars(tensor)["numel"] = 5
    return tensor


def nested(tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([tensor, tensor])


def sparse(tensor: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tensor.to_sparse()


def with_nan(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor[0, 0] = torch.nan
    return tensor


def program() -> list[str]:
    """Add the entry by which torch recognises a program."""
    rezipped()()
    with zipfile.ZipFile(CHECKPOINT, "a") as archive:
        archive.writestr(f"{archive.namelist()[0].partition('/')[0]}/constants.pkl", b"\x80\x02).")
    return RUN


def folder() -> list[str]:
    write_run()
    CHECKPOINT.unlink()
    CHECKPOINT.mkdir()
    return RUN


def endless_link() -> list[str]:
    write_run()
    CHECKPOINT.unlink()
    CHECKPOINT.symlink_to(CHECKPOINT.name)
    return RUN


def two_steps() -> list[str]:
    write_run()
    shutil.copy(CHECKPOINT, CHECKPOINT.with_name("step-000000008.ckpt"))
    return [*RUN, "--steps", "8"]


KIND = r"kinds of numbers differ: .*{} \({} "
CASES: dict[str, Case] = {
    "code in the model": Case(changed(lambda tensor: Payload()), r"is refused, because it contains more than weights"),
    "code beside the model": Case(
        saved(lambda: {"step": 7, "pipeline": {}, "schedulers": Payload()}), r"more than weights .*posix\.system"
    ),
    "code in the old format": Case(saved(Payload, _use_new_zipfile_serialization=False), r"must be a zip archive"),
    "code in another pickle": Case(rezipped(structure(pickle.dumps(Payload(), 2))), r"more than weights"),
    "compressed": Case(rezipped(compression=zipfile.ZIP_DEFLATED), r"entries must not be compressed"),
    "inflating": Case(rezipped(structure(b"]" * 10**8), zipfile.ZIP_DEFLATED), "not be compressed", megabytes=600),
    "large structure": Case(rezipped(structure(b"]" * 600_000)), r"at most 500000 parts", megabytes=600),
    "key of tuples": Case(rezipped(structure(laughing())), r"a tuple of more than 10000 values"),
    "key of tuples, in another case": Case(renamed("data.PKL"), r"a tuple of more than 10000 values"),
    "a program": Case(program, r"is refused, because it is a program \(TorchScript\), not weights"),
    "a flipped bit": Case(flipped, r"its entry \S+/data/5 is damaged \(its checksum differs\)"),
    "a name of several GPUs twice": Case(
        second_name("module."), rf"contains {WEIGHT[:30]}\S+ twice, because module\._"
    ),
    "two directories": Case(two_directories, r"its directory must be its only one"),
    "codec without end": Case(
        calls("_codecs.encode", unicode("\u4e00\u5e00" * 50_000), unicode("punycode")),
        r"_codecs\.encode to another code",
    ),
    "bytes without end": Case(calls("builtins.bytearray", number(6 * 10**9)), r"GLOBAL builtins\.bytearray"),
    "tensor of a size": Case(calls("torch.FloatTensor", number(2**30)), r"GLOBAL torch\.FloatTensor"),
    "new tensor of a size": Case(calls("torch.Tensor", number(2**30), operation=b"\x81"), r"GLOBAL torch\.Tensor"),
    "storage of a size": Case(calls("torch.storage.UntypedStorage", number(2**30)), r"GLOBAL \S*UntypedStorage"),
    "copies without end": Case(
        rezipped(
            structure(b"\x80\x02]q\x00(" + b"K\x01" * 10**5 + b"e" + b"ccollections\nCounter\nh\x00\x85R" * 100 + b".")
        ),
        r"at most 4194304 arguments",
    ),
    "a number as method": Case(changed(with_number), r"GLOBAL torch\._tensor\._rebuild_from_type_v2"),
    "a number as method of a dictionary": Case(saved(with_attribute), r"the attribute 'keys'"),
    "another structure": Case(rezipped(structure(b"\x80\x02]q\x00.")), r"must contain 'step' and 'pipeline'"),
    "broken structure": Case(rezipped(structure(b"\x80\x02}(h\x07.")), r"is refused, because it is damaged"),
    "long name": Case(
        saved(lambda: {"step": 7, "pipeline": {"x" * 10**5: [1]}}), r"'x{60}' in its pipeline is not a tensor"
    ),
    "bool": Case(changed(lambda tensor: tensor > 0), KIND.format(r"mlp_head\.layers\.0\.weight", "bool")),
    "int8": Case(changed(lambda tensor: (tensor * 99).char()), KIND.format("weight", "int8")),
    "int64": Case(all_changed(Tensor.long), KIND.format("", "int64")),
    "complex": Case(changed(lambda tensor: tensor + 0j), KIND.format("weight", "complex64")),
    "half": Case(
        all_changed(Tensor.half), r"types of numbers differ: .* \(float16 instead of float32\).*nerfacto", code=0
    ),
    "no number": Case(changed(lambda tensor: tensor * torch.nan), r"no value is finite in: .*mlp_head"),
    "no numbers": Case(
        all_changed(lambda tensor: tensor * torch.nan), r"no value is finite in: \S+ \(\d+ of \d+\) and \d+ more\.\n"
    ),
    "infinite": Case(changed(lambda tensor: tensor + torch.inf), r"no value is finite in: .*weight \(\d+ of \d+\)"),
    "one value": Case(changed(with_nan), r"values that are not finite: .*weight \(1 of \d+\).*nerfacto", code=0),
    "another shape": Case(changed(Tensor.flatten), r"shapes differ: .*mlp_head"),
    "a larger shape": Case(changed(lambda tensor: torch.zeros(1, 1).expand(10**6, 10**6)), r"repeats its values"),
    "sparse": Case(changed(sparse), r"nested, sparse, quantised|damaged"),
    "nested": Case(changed(nested), r"nested, sparse, quantised|more than weights"),
    "quantised": Case(
        changed(lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)), r"quantised|more than weights"
    ),
    "without values": Case(changed(lambda tensor: tensor.to("meta")), r"has no values \(device meta\)"),
    "an object": Case(changed(lambda tensor: [1.0]), r"is not a tensor"),
    "missing": Case(saved(lambda: {"step": 7, "pipeline": {}}), r"it lacks "),
    "a text as step": Case(saved(lambda: {"step": "7", "pipeline": {}}), r"must contain 'step' and 'pipeline'"),
    "a large step": Case(saved(lambda: {"step": 2**70, "pipeline": {}}), r"differs from its name"),
    "a step of many digits": Case(saved(lambda: {"step": 10**600, "pipeline": {}}), r"contains step 10\^30 or more"),
    "another step": Case(two_steps, r"contains step 7, which differs from its name"),
    "a folder": Case(folder, r"has no checkpoints"),
    "an endless link": Case(endless_link, r"has no checkpoints|cannot be read"),
}


@pytest.fixture(autouse=True)
def forget() -> Any:
    yield
    source._built.clear()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_hostile_checkpoint(case: Case, meets: Callable[[Case], Said]) -> None:
    meets(case)


def test_the_run_itself_is_evaluated(meets: Callable[[Case], Said]) -> None:
    def make() -> list[str]:
        write_run()
        return RUN

    meets(Case(make, r"scene, test views.*nerfacto", code=0))
    assert list(Path("nvs-eval-results").rglob("light-*.json"))
