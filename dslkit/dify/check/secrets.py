"""Layer: secrets that would travel with the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dslkit.dify.check.report import named
from dslkit.dify.nodes import mappings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dslkit.dify.check.report import Report

_KEY: Final = re.compile(
    r"\b(?:sk-[A-Za-z0-9_-]{20,}|gsk_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{30,}"
    r"|xox[baprs]-[0-9A-Za-z-]{10,}|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,})"
)
_BEARER: Final = re.compile(r"\bBearer\s+(?!\{\{)[A-Za-z0-9._~+/-]{20,}")
_MAX_DEPTH: Final = 20


def check_secrets(report: Report) -> None:
    """Secret variables with a value, keys and tokens in a node's texts."""
    workflow = report.graph.document.get("workflow")
    variables = workflow.get("environment_variables") if isinstance(workflow, dict) else None
    for index, variable in enumerate(mappings(variables)):
        value = variable.get("value")
        if variable.get("value_type") == "secret" and isinstance(value, str) and value.strip("*"):
            message = f"The secret variable {variable.get('name')} carries its value."
            remedy = "Empty it before sharing."
            report.warning("secret-value", message, remedy, path=f"workflow/environment_variables/{index}/value")
    for node in report.graph.nodes.values():
        path = next((p for p, text in _texts(node.data, "", 0) if _KEY.search(text) or _BEARER.search(text)), None)
        if path is not None:
            message = f"{named(node)} seems to hold a key or token."
            report.warning("secret-in-text", message, "Keep it in a secret environment variable.", node, path)


def _texts(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif depth < _MAX_DEPTH and isinstance(value, dict | list):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(entry, f"{path}/{key}" if path else str(key), depth + 1)
