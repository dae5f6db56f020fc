"""The command line.  Rooms load when their verb is used, so that ``dslkit --help`` is quick."""

from __future__ import annotations

from dslkit.cli.app import main

__all__ = ["main"]
