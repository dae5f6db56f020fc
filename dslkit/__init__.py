"""dslkit: Dify workflows from language models, in bulk, with their cost, their latency and proof that they run.

The face of the package.  Names load their room when first used, so that ``import dslkit`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dslkit.connect import async_openai_client, openai_client
    from dslkit.ledger import Ledger

__all__ = ["Ledger", "async_openai_client", "openai_client"]

_ROOM = {
    "Ledger": "dslkit.ledger",
    "async_openai_client": "dslkit.connect",
    "openai_client": "dslkit.connect",
}


def __getattr__(name: str) -> object:
    if name in _ROOM:
        return getattr(import_module(_ROOM[name]), name)
    raise AttributeError(f"module 'dslkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
