"""Starts a Jupyter server with our extension in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What an installed JupyterLab brings along; a server for programs needs none of it.
_LAB = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")


def serve(*, ip: str, port: int, lab: bool, arguments: Sequence[str] = ()) -> None:
    """Serve until a signal ends it; ``arguments`` are Jupyter Server's own (``--ServerApp.…``)."""
    token = token_in_file(os.environ)
    from jupyter_server.serverapp import ServerApp  # noqa: PLC0415 - takes half a second to load
    from traitlets.config import Config  # noqa: PLC0415 - with it

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
        ],
        config=Config({"IdentityProvider": {"token": token}} if token else {}),  # what the user configures comes after
    )


def token_in_file(environment: Mapping[str, str]) -> str | None:
    """The token in the file that JUPYTER_TOKEN_FILE names, without the newline it ends in, which Jupyter itself keeps.

    None where no file is named, or JUPYTER_TOKEN has the token.

    Raises:
        SettingsError: the file cannot be read, or is empty, with which Jupyter would let everybody in.
    """
    file = environment.get("JUPYTER_TOKEN_FILE")
    if not file or environment.get("JUPYTER_TOKEN"):
        return None
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        remedy = "correct its path or its permissions"
        raise SettingsError(f"The file that JUPYTER_TOKEN_FILE names cannot be read ({reason}): {remedy}.") from None
    if not token:
        raise SettingsError("The file that JUPYTER_TOKEN_FILE names is empty: write a token into it.")
    return token
