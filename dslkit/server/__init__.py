"""The HTTP API, as an extension of Jupyter Server: it brings authentication, a port and a lifecycle.

The package's configuration enables it wherever dslkit is installed.
"""

from __future__ import annotations


def _jupyter_server_extension_points() -> list[dict[str, object]]:
    """What Jupyter Server asks an extension for."""
    from dslkit.server.extension import DslkitService  # noqa: PLC0415 - loads Jupyter Server

    return [{"module": "dslkit.server", "app": DslkitService}]
