"""``dslkit ledger …``: keeping the ledger whole and quick."""

from __future__ import annotations

import typer

app = typer.Typer(help="Keep the ledger whole and quick.", no_args_is_help=True)
