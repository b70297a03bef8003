"""The same renders under every protocol: what `nvs-eval audit` does, without a word printed."""

from __future__ import annotations

from dataclasses import fields, replace

from nvs_eval import protocols
from nvs_eval.errors import InputError
from nvs_eval.evaluation.options import AuditOptions, Callbacks, RunOptions, ScoreOptions, ScoringOptions
from nvs_eval.evaluation.run_checkpoints import run_checkpoints
from nvs_eval.evaluation.score_folders import score_folders
from nvs_eval.protocols import DEFAULT, Protocol
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId


def audit(options: AuditOptions, callbacks: Callbacks) -> list[list[Record]]:
    """Score the same renders under every protocol, and write the records.

    Images are rendered and decoded once, and what protocols share is computed once. Where no protocol is named, those
    that cannot score these renders are skipped, and a message says why.

    Returns:
        The records of each result, one a protocol.

    Raises:
        InputError: something that was asked for is not available, or no protocol can score the renders.
    """
    if bool(options.renders) == bool(options.load_config):
        raise InputError(
            "An audit is of folders of renders, as `nvs-eval score` takes them, or with `--load-config` of trained "
            "runs, as `nvs-eval run` does: give the one or the other."
        )
    _check_no_option_of(ScoreOptions if options.load_config else RunOptions, options)
    if not options.protocol:
        options = replace(options, protocol=_named(masked=options.masked, callbacks=callbacks))
        callbacks = replace(callbacks, on_refusal=lambda protocol, error: _say_refusal(protocol, error, callbacks))
    records = run_checkpoints(options, callbacks) if options.load_config else score_folders(options, callbacks)
    if not records:
        raise InputError("No protocol can score these renders; each said why.")
    by_result: dict[ResultId, list[Record]] = {}
    for record in records:
        by_result.setdefault(record.id, []).append(record)
    return list(by_result.values())


def _check_no_option_of(other: type[ScoreOptions | RunOptions], options: AuditOptions) -> None:
    """Check that no option was given that is for the other kind of renders: it would do nothing.

    Raises:
        InputError: naming it.
    """
    common = {option.name for option in fields(ScoringOptions)}
    for option in fields(other):
        if option.name not in common and getattr(options, option.name) != getattr(AuditOptions, option.name):
            kind = "trained runs (`--load-config`)" if other is RunOptions else "folders of renders"
            raise InputError(f"`--{option.name.replace('_', '-')}` is for {kind}, and these are none: leave it out.")


def _named(*, masked: bool, callbacks: Callbacks) -> tuple[str, ...]:
    """The names of all protocols, the default first; with masks, of those that know what to do with one."""
    names = sorted(protocols.named_protocols(), key=lambda name: (name != DEFAULT, name))
    unmasked = [name for name in names if masked and protocols.load_protocol(name).mask == "none"]
    if unmasked:
        have = "it has" if len(unmasked) == 1 else "they have"
        callbacks.say(f"Not under {', '.join(unmasked)}: {have} no meaning for masks.")
    return tuple(name for name in names if name not in unmasked)


def _say_refusal(protocol: Protocol, error: InputError, callbacks: Callbacks) -> None:
    callbacks.say(f"Not under {protocol.name}: {error}")
