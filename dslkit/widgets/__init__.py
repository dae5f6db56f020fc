"""What notebooks show: tables and charts of a run, and forms to click.  ipywidgets loads when a form is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dslkit.widgets import patterns, show
    from dslkit.widgets.browser import pattern_browser
    from dslkit.widgets.configuration import settings_table
    from dslkit.widgets.generator import generator_form
    from dslkit.widgets.monitor import live_monitor
    from dslkit.widgets.progress import Progress
    from dslkit.widgets.stages import funnel

__all__ = [
    "Progress",
    "funnel",
    "generator_form",
    "live_monitor",
    "pattern_browser",
    "patterns",
    "settings_table",
    "show",
]

_HOME = {
    "Progress": "dslkit.widgets.progress",
    "funnel": "dslkit.widgets.stages",
    "generator_form": "dslkit.widgets.generator",
    "live_monitor": "dslkit.widgets.monitor",
    "pattern_browser": "dslkit.widgets.browser",
    "settings_table": "dslkit.widgets.configuration",
}


def __getattr__(name: str) -> object:
    if name in {"patterns", "show"}:
        return import_module(f"dslkit.widgets.{name}")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'dslkit.widgets' has no attribute {name!r}")
