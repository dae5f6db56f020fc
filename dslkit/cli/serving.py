"""The verb that serves the HTTP API."""

from __future__ import annotations

from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Register the verb; what it does not know goes on to Jupyter Server."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve)


def serve(
    context: typer.Context,
    ip: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Port to listen on.")] = 8888,
    lab: Annotated[bool, typer.Option("--lab", help="JupyterLab, too.")] = False,
) -> None:
    """Serve the HTTP API in a Jupyter server; its own options (--ServerApp.…) may follow."""
    from dslkit.server.launching import serve as launch
    from dslkit.settings import load_settings

    load_settings()  # a wrong one stops us here, in one message
    launch(ip=ip, port=port, lab=lab, arguments=context.args)
