"""dslkit: Dify workflows from language models, in bulk, with their cost, their latency and proof that they run.

The face of the package.  Names load their room when first used, so that ``import dslkit`` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dslkit.batch import generate, generate_batch
    from dslkit.connect import (
        acomplete_many,
        async_http_client,
        async_openai_client,
        complete_many,
        http_client,
        openai_client,
        throttle_status,
    )
    from dslkit.dify.workflow import Workflow
    from dslkit.ledger import Ledger
    from dslkit.llm.limits import Limits

__all__ = [
    "Ledger",
    "Limits",
    "Workflow",
    "acomplete_many",
    "async_http_client",
    "async_openai_client",
    "complete_many",
    "generate",
    "generate_batch",
    "http_client",
    "openai_client",
    "throttle_status",
]

_ROOM = {
    "Ledger": "dslkit.ledger",
    "Limits": "dslkit.llm.limits",
    "Workflow": "dslkit.dify.workflow",
    "acomplete_many": "dslkit.connect",
    "async_http_client": "dslkit.connect",
    "async_openai_client": "dslkit.connect",
    "complete_many": "dslkit.connect",
    "generate": "dslkit.batch",
    "generate_batch": "dslkit.batch",
    "http_client": "dslkit.connect",
    "openai_client": "dslkit.connect",
    "throttle_status": "dslkit.connect",
}


def __getattr__(name: str) -> object:
    if name in _ROOM:
        return getattr(import_module(_ROOM[name]), name)
    raise AttributeError(f"module 'dslkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
