"""Starts a Jupyter server with our extension in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

# What an installed JupyterLab brings along; a server for programs needs none of it.
_LAB = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")


def serve(*, ip: str, port: int, lab: bool, arguments: Sequence[str] = ()) -> None:
    """Serve until a signal ends it; ``arguments`` are Jupyter Server's own (``--ServerApp.…``)."""
    from jupyter_server.serverapp import ServerApp  # noqa: PLC0415 - takes half a second to load

    extensions = {"dslkit.server": True} | dict.fromkeys(_LAB, lab)  # written as traitlets read a dictionary
    ServerApp.launch_instance(
        [
            f"--ServerApp.ip={ip}",
            f"--ServerApp.port={port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.open_browser=False",
            f"--ServerApp.default_url={'/lab' if lab else '/api/v1/info'}",
            f"--ServerApp.jpserver_extensions={extensions!r}",
            "--DslkitService.warm=True",
            *arguments,
        ]
    )
