"""Layouts of folders that other tools write: one module a tool, one line each in the table of `registry`."""

from nvs_eval.sources.layouts.layout import Contents as Contents
from nvs_eval.sources.layouts.layout import Layout as Layout
from nvs_eval.sources.layouts.layout import RenderFiles as RenderFiles
