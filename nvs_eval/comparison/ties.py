"""Which contenders cannot be told from the best."""

from __future__ import annotations

from collections.abc import Sequence

from nvs_eval.contenders import Contender


def tied_with_best(contenders: Sequence[Contender], scenes: Sequence[str], metric: str) -> list[int]:
    raise NotImplementedError
