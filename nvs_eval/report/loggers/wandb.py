"""Weights & Biases: one run per scene, method and training run, with a fixed id, so that more can be logged later.

Scores are `<protocol>/<metric>` over the metric `step` (of the checkpoint), so that steps may be logged in any order.
`<protocol>/views` is a table with one row per view. The run's configuration states how scores were computed.
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
"""Default project, if WANDB_PROJECT is not set."""
_STEP = "step"
# By default, wandb retries for a quarter of an hour without a network.
_PATIENCE = {
    "x_graphql_retry_max": 5,
    "x_graphql_retry_wait_min_seconds": 1,
    "x_graphql_retry_wait_max_seconds": 10,
}
_PROVENANCE = ("nvs_eval", "versions", "device", "started", "checkpoint_sha256", "config_sha256", "data_sha256")


def open_sink() -> Sink:
    """Return the sink for Weights & Biases, in the mode of its settings: online, offline or disabled.

    Raises:
        InputError: wandb is not installed, or online and not logged in.
    """
    try:
        import wandb
    except ImportError as error:
        raise missing_package("wandb", error) from error
    if _mode(wandb) == "online" and not _has_login(wandb):
        raise InputError(
            "--log wandb needs a login. Run `wandb login`, or set WANDB_MODE=offline to write files that `wandb sync` "
            "uploads later."
        )
    return _log


def _mode(wandb: Any) -> str:
    """Return the mode of the settings (online, offline or disabled), also for its older names."""
    # Silent: wandb would print the login.
    mode = wandb.setup(settings=wandb.Settings(silent=True)).settings.mode or "online"
    return {"run": "online", "dryrun": "offline"}.get(mode, mode)


def _has_login(wandb: Any) -> bool:
    """Return whether a login is stored. Its validity shows when something is logged."""
    if "prompt" not in inspect.signature(wandb.login).parameters:
        return bool(wandb.api.api_key)
    # Since wandb 0.31, api.api_key warns. This call also contacts the server, which may not be reachable.
    try:
        return wandb.login(prompt=False)
    except wandb.Error:
        return True


def run_id(run: ResultId) -> str:
    """Return the id of a run, which depends on its scene, method, name and named checkpoint alone."""
    names = [run.scene, run.method, run.run, *([run.step_name] if run.step_name else [])]
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]


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
        # wandb warns about resuming offline. `wandb sync` merges runs with the same id.
        resume=None if mode == "offline" else "allow",
        settings=_settings(wandb),
    )
    try:
        opened.config.update(_config(records), allow_val_change=True)
        opened.define_metric(_STEP)
        opened.define_metric("*", step_metric=_STEP)
        for logged in records:
            views = _views(wandb, logged.record)
            opened.log({_STEP: logged.step, **logged.scalars, f"{logged.label}/views": views})
        folder = Path(opened.dir).parent
        url = opened.url if mode == "online" else None
    finally:
        opened.finish()
    where = {"online": url, "offline": f"wandb sync {folder}"}.get(mode, mode)
    return f"Weights & Biases, {run}: {where}"


def _settings(wandb: Any) -> Any:
    """Return settings that print and capture nothing and limit retries, as far as this version has them."""
    available = getattr(wandb.Settings, "model_fields", {})
    patience = {name: value for name, value in _PATIENCE.items() if name in available}
    return wandb.Settings(silent=True, console="off", **patience)


def _config(records: Sequence[LoggedRecord]) -> dict[str, Any]:
    """Return how scores were computed, with keys per protocol and per step, so that later ones are added."""
    run = records[0].run
    config: dict[str, Any] = {"scene": run.scene, "method": run.method, "run": run.run}
    for logged in records:
        record = logged.record
        config[f"{logged.label}/protocol"] = {**record.protocol, "split": record.split}
        config[f"{logged.label}/signatures"] = {name: info.signature for name, info in record.metrics.items()}
        provenance = {name: record.provenance[name] for name in _PROVENANCE if name in record.provenance}
        config[f"{logged.label}/step {logged.step}"] = {**provenance, "references_sha256": record.references_sha256}
    return config


def _views(wandb: Any, record: Record) -> Any:
    metrics = list(record.metrics)
    rows = [[row.name, *(row.scores[metric] for metric in metrics)] for row in record.views]
    return wandb.Table(columns=["view", *metrics], data=rows)
