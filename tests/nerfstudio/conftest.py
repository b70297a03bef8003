"""Fixtures of the tests of the nerfstudio plugin."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Path]:
    """Write the config.yml of a run on some data, without training anything."""

    def write(data: Path, *, method: str = "nerfacto", parser: Any = None, **options: Any) -> Path:
        from nvs_eval_nerfstudio.quiet import import_nerfstudio

        import_nerfstudio()
        from nerfstudio.configs.method_configs import all_methods
        from nerfstudio.data.dataparsers.nerfstudio_dataparser import NerfstudioDataParserConfig

        config: Any = copy.deepcopy(all_methods[method])
        config.data = data
        config.experiment_name, config.timestamp = "made", "base"
        manager = config.pipeline.datamanager
        manager.data = data
        manager.dataparser = parser or NerfstudioDataParserConfig()
        for name, value in options.items():
            setattr(manager if hasattr(manager, name) else manager.dataparser, name, value)
        path = tmp_path / "config.yml"
        path.write_text(yaml.dump(config))
        return path

    return write
