"""Starts a Jupyter server with our extension in it."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslkit.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What an installed JupyterLab brings along; a server for programs needs none of it.
_LAB = ("jupyterlab", "jupyter_lsp", "jupyter_server_terminals", "notebook_shim")
_WORD = re.compile(r"[!-~]+")


def serve(*, ip: str, port: int, lab: bool, arguments: Sequence[str] = ()) -> None:
    """Serve until a signal ends it; ``arguments`` are Jupyter Server's own (``--ServerApp.…``)."""
    token = token_in_file(os.environ)
    from jupyter_server import serverapp  # noqa: PLC0415 - takes half a second to load

    class ServerApp(serverapp.ServerApp):
        """Jupyter's, of the same name for its configuration and log."""

        def initialize(self, *arguments: Any, **options: Any) -> None:
            """Take the token for one in JUPYTER_TOKEN, which counts when the user has configured none."""
            with _in_environment("JUPYTER_TOKEN", token):
                super().initialize(*arguments, **options)

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


@contextmanager
def _in_environment(name: str, value: str | None) -> Iterator[None]:
    """Only for now: what is started later, as kernels are, does not inherit it."""
    if value is None:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def token_in_file(environment: Mapping[str, str]) -> str | None:
    """The token in the file that JUPYTER_TOKEN_FILE names, without the newline it ends in, which Jupyter itself keeps.

    None where no file is named, or JUPYTER_TOKEN has the token.

    Raises:
        SettingsError: the file cannot be read, is empty, with which Jupyter would let everybody in, or has what no
            caller could show in a header.
    """
    file = environment.get("JUPYTER_TOKEN_FILE")
    if not file or environment.get("JUPYTER_TOKEN"):
        return None
    try:
        token = Path(file).read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        remedy = "correct its path or its permissions"
        raise SettingsError(f"The file that JUPYTER_TOKEN_FILE names cannot be read ({reason}): {remedy}.") from None
    if not token:
        raise SettingsError("The file that JUPYTER_TOKEN_FILE names is empty: write a token into it.")
    if not _WORD.fullmatch(token):
        raise SettingsError(
            "The file that JUPYTER_TOKEN_FILE names is no token: write one word of ASCII characters into it."
        )
    return token
