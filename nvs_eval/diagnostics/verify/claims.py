"""What a record says of its metrics beside the scores: their units and directions, which no fingerprint covers."""

from __future__ import annotations

from collections.abc import Iterator

from nvs_eval.diagnostics.verify.scores import family_of
from nvs_eval.records.record import Record

_BETTER_HIGHER = ("psnr", "ssim")
_UNITS = {"psnr": "dB"}


def wrong_claims(record: Record) -> Iterator[str]:
    """A sentence for each direction or unit that is not the metric's; those of plugins' metrics are not known here.

    A table marks the best by the direction: with a wrong one it marks the worst.
    """
    for metric, info in record.metrics.items():
        if (family := family_of(metric)) is None:
            continue
        higher, unit = family in _BETTER_HIGHER, _UNITS.get(family, "")
        if info.higher_is_better != higher:
            said, right = ("lower", "higher") if higher else ("higher", "lower")
            yield f"The {metric} is recorded as better the {said} it is, and it is better the {right}: {_BY_HAND}"
        if info.unit != unit:
            yield f"The unit of {metric} is recorded as {info.unit!r}, and it is {unit!r}: {_BY_HAND}"


_BY_HAND = "the record was changed by hand."
