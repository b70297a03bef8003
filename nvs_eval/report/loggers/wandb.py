"""Weights & Biases: one run a scene, method and run, always under the same id, so that more can be logged to it later.

The scores are `<protocol>/<metric>` over the metric `step`, the checkpoint's, so that steps may be logged in any order;
`<protocol>/views` is a table with a row a view. The configuration says how they were made.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nvs_eval.errors import InputError
from nvs_eval.records.record import Record
from nvs_eval.records.result_id import ResultId
from nvs_eval.report.loggers.runs import LoggedRecord, Sink, missing_package

PROJECT = "nvs-eval"
"""Where WANDB_PROJECT says nothing else."""
_STEP = "step"
# Else a process whose network is away would go on trying for a quarter of an hour, also after it was told so.
_PATIENCE = {
    "x_graphql_retry_max": 5,
    "x_graphql_retry_wait_min_seconds": 1,
    "x_graphql_retry_wait_max_seconds": 10,
}
_PROVENANCE = ("nvs_eval", "versions", "device", "started", "checkpoint_sha256", "config_sha256", "data_sha256")


def open_sink() -> Sink:
    """Weights & Biases, in the mode that its own settings say: online, offline or disabled.

    Raises:
        InputError: it is not installed, or is to be online and nobody is logged in.
    """
    try:
        import wandb
    except ImportError as error:
        raise missing_package("wandb", error) from error
    if _mode(wandb) == "online" and not _has_login(wandb):
        raise InputError(
            "wandb is not logged in: say `wandb login`, or set WANDB_MODE=offline to log into files that `wandb sync` "
            "uploads later."
        )
    return _log


def _mode(wandb: Any) -> str:
    """online, offline or disabled, whatever older names the settings have for these."""
    # Silent, as wandb would say at once who is logged in.
    mode = wandb.setup(settings=wandb.Settings(silent=True)).settings.mode or "online"
    return {"run": "online", "dryrun": "offline"}.get(mode, mode)


def _has_login(wandb: Any) -> bool:
    """Whether there is a login; whether it is worth anything is said when something is logged."""
    if "prompt" not in inspect.signature(wandb.login).parameters:
        return bool(wandb.api.api_key)
    # Since 0.31 this is the way to ask, and the other one warns. It asks the server, too, which may be away.
    try:
        return wandb.login(prompt=False)
    except wandb.Error:
        return True


def run_id(run: ResultId) -> str:
    """The id of a run, the same whenever and wherever it is logged."""
    return hashlib.sha256(json.dumps([run.scene, run.method, run.run]).encode()).hexdigest()[:16]


def _log(runs: Sequence[Sequence[LoggedRecord]]) -> list[str]:
    import wandb

    return [_log_run(wandb, records, _mode(wandb)) for records in runs]


def _log_run(wandb: Any, records: Sequence[LoggedRecord], mode: str) -> str:
    run = records[0].run
    opened = wandb.init(
        project=wandb.setup().settings.project or PROJECT,
        id=run_id(run),
        name=run.label,
        group=run.scene,
        job_type="evaluation",
        # Offline there is nothing to resume, which wandb would say: `wandb sync` puts runs of one id together.
        resume=None if mode == "offline" else "allow",
        settings=_settings(wandb),
    )
    try:
        opened.config.update(_config(records), allow_val_change=True)
        opened.define_metric(_STEP)
        opened.define_metric("*", step_metric=_STEP)
        for each in records:
            opened.log({_STEP: each.step, **each.scalars, f"{each.label}/views": _views(wandb, each.record)})
        folder = Path(opened.dir).parent
        url = opened.url if mode == "online" else None
    finally:
        opened.finish()
    where = {"online": url, "offline": f"wandb sync {folder}"}.get(mode, mode)
    return f"Weights & Biases, {run}: {where}"


def _settings(wandb: Any) -> Any:
    """Nothing is printed or captured, and not tried for ever: as far as this version has settings for that."""
    known = getattr(wandb.Settings, "model_fields", {})
    patience = {name: value for name, value in _PATIENCE.items() if name in known}
    return wandb.Settings(silent=True, console="off", **patience)


def _config(records: Sequence[LoggedRecord]) -> dict[str, Any]:
    """How the scores were made: a key a protocol, and one a protocol and step, so that later ones are added."""
    run = records[0].run
    config: dict[str, Any] = {"scene": run.scene, "method": run.method, "run": run.run}
    for each in records:
        record = each.record
        config[f"{each.label}/protocol"] = {**record.protocol, "split": record.split}
        config[f"{each.label}/signatures"] = {name: info.signature for name, info in record.metrics.items()}
        known = {name: record.provenance[name] for name in _PROVENANCE if name in record.provenance}
        config[f"{each.label}/step {each.step}"] = {**known, "references_sha256": record.references_sha256}
    return config


def _views(wandb: Any, record: Record) -> Any:
    metrics = list(record.metrics)
    rows = [[row.name, *(row.scores[metric] for metric in metrics)] for row in record.views]
    return wandb.Table(columns=["view", *metrics], data=rows)
