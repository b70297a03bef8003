"""Score the same renders under every protocol, as `nvs-eval audit` does. Prints nothing."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

from nvs_eval import protocols
from nvs_eval.errors import InputError
from nvs_eval.evaluation.callbacks import Callbacks
from nvs_eval.evaluation.options import AuditOptions, RunOptions, ScoreOptions
from nvs_eval.evaluation.run_checkpoints import run_checkpoints
from nvs_eval.evaluation.score_folders import score_folders
from nvs_eval.protocols import DEFAULT, Protocol
from nvs_eval.records.record import Record


def audit(options: AuditOptions, callbacks: Callbacks) -> list[list[Record]]:
    """Score the same renders under every protocol, and write the records.

    Images are rendered and decoded once, and work that protocols share is done once. If no protocol is named, those
    that cannot score these renders are skipped with a message.

    Returns:
        The records of each result, one per protocol.

    Raises:
        InputError: An input is not available, or no protocol can score the renders.
    """
    if bool(options.renders) == bool(options.load_config):
        raise InputError(
            "An audit takes either folders of renders, as `nvs-eval score` does, or trained runs with `--load-config`, "
            "as `nvs-eval run` does. Give one of the two."
        )
    _check_no_option_of(ScoreOptions if options.load_config else RunOptions, options)
    if not options.protocol:
        options = replace(options, protocol=named(masked=options.masked, callbacks=callbacks))
        callbacks = replace(callbacks, on_refusal=lambda protocol, error: _report_skipped(protocol, error, callbacks))
    records = run_checkpoints(options, callbacks) if options.load_config else score_folders(options, callbacks)
    if not records:
        raise InputError("No protocol can score these renders. Each one was skipped with a message.")
    by_result: dict[Path, list[Record]] = {}
    for record in records:
        by_result.setdefault(record.id.folder, []).append(record)
    return list(by_result.values())


def _check_no_option_of(unused: type[ScoreOptions | RunOptions], options: AuditOptions) -> None:
    """Check that no option of the other kind of renders is set, since it would have no effect.

    Raises:
        InputError: Such an option is set; the message names it.
    """
    shared = {option.name for option in fields(RunOptions)} & {option.name for option in fields(ScoreOptions)}
    for option in fields(unused):
        if option.name not in shared and getattr(options, option.name) != getattr(AuditOptions, option.name):
            kind = "trained runs (`--load-config`)" if unused is RunOptions else "folders of renders"
            raise InputError(f"`--{option.name.replace('_', '-')}` applies only to {kind}. Remove it.")


def named(*, masked: bool, callbacks: Callbacks) -> tuple[str, ...]:
    """Return the names of all protocols, the default first; with masks, only of those that support them.

    Args:
        masked: whether there are masks.
        callbacks: `say` gets a message on the others.
    """
    names = sorted(protocols.named_protocols(), key=lambda name: (name != DEFAULT, name))
    unmasked = [name for name in names if masked and protocols.load_protocol(name).mask == "none"]
    if unmasked:
        reason = "it does not" if len(unmasked) == 1 else "they do not"
        plural = "" if len(unmasked) == 1 else "s"
        callbacks.say(f"Skipped protocol{plural} {', '.join(unmasked)}: {reason} support masks.")
    return tuple(name for name in names if name not in unmasked)


def _report_skipped(protocol: Protocol, error: InputError, callbacks: Callbacks) -> None:
    callbacks.say(f"Skipped protocol {protocol.name}: {error}")
