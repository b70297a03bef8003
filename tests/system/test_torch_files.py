"""Reading of the files that `torch.save` writes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from nvs_eval.system.torch_files import load_torch

KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool)


def old(path: Path, change: tuple[bytes, bytes] = (b"", b"")) -> Path:
    """Save six values of each kind, and a part of some of them, in torch's format before 1.6."""
    tensors: dict[str, Any] = {str(kind): torch.arange(6).to(kind) for kind in KINDS}
    tensors["part"] = tensors["torch.float32"][2:]
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes().replace(*change) if change[0] else path.read_bytes())
    return path


def test_the_old_format_is_read(tmp_path: Path) -> None:
    tensors = load_torch(old(tmp_path / "a.pth"))
    assert {name: tensor.dtype for name, tensor in tensors.items()} == {str(k): k for k in KINDS} | {
        "part": torch.float32
    }
    assert tensors["part"].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("count", [1000, 2**36])
def test_storages_of_the_old_format_are_not_larger_than_the_file(count: int, tmp_path: Path) -> None:
    path = old(tmp_path / "a.pth", (b"K\x06", b"\x8a\x05" + count.to_bytes(5, "little")))
    with pytest.raises(ValueError, match="its tensors must not be larger than the file"):
        load_torch(path)


def test_a_program_is_refused_without_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Linear(1, 1)).save(path)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"it is a program \(TorchScript\), not weights"):
        warnings.simplefilter("error")
        load_torch(path)
