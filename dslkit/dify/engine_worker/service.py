"""Reads jobs as JSON lines from standard input and answers each with one line on standard output.

Before a piece of code that could hang, a line ``{"at": node}`` says where it is, so that whoever kills the process can
name the node.
"""

# mypy: ignore-missing-imports
from __future__ import annotations

import functools
import gc
import importlib.metadata
import json
import logging
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

from .guard import close_doors, limit_cpu, limit_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_TEXT = 2_000


def main() -> None:
    """Say hello, then serve until standard input ends."""
    replies = _private_stdout()
    logging.disable(logging.CRITICAL)
    limit_memory()
    try:
        handlers = _load()
    except Exception:  # noqa: BLE001 -- whatever it is, the other side must hear of it
        _send(replies, {"hello": None, "error": traceback.format_exc(limit=3)})
        return
    close_doors()
    _let_go_of_instances()
    gc.collect()
    gc.freeze()  # what is loaded stays, so that collecting after each job looks at that job only
    _send(replies, {"hello": importlib.metadata.version("graphon")})
    for line in sys.stdin:
        _send(replies, _answer(json.loads(line), handlers, lambda node: _send(replies, {"at": node})))
        gc.collect()


def _let_go_of_instances() -> None:
    """Python 3.13.0 and 3.13.1 keep every object alive whose single-dispatch method was ever called; not so here."""
    for each in gc.get_objects():
        if isinstance(each, functools.singledispatchmethod) and hasattr(each, "_method_cache"):
            each._method_cache = None  # noqa: SLF001 -- None switches the cache off


def _private_stdout() -> TextIO:
    """Keep the reply channel to ourselves: a stray print goes nowhere."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    return private


def _load() -> Mapping[str, Callable[..., dict[str, Any]]]:
    """Import graphon and run one small workflow, so that everything it loads lazily is there before the doors close."""
    import yaml  # noqa: PLC0415 -- here, so that the other side hears when it is missing

    from .dryrun import dry_run  # noqa: PLC0415 -- here, so that the other side hears when it is missing

    dry_run({"document": _WARM_UP, "seconds": 1}, lambda _: None)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    def parse(job: Mapping[str, Any], _announce: Callable[[str], None]) -> dict[str, Any]:
        document = yaml.load(job["text"], loader)  # noqa: S506 -- both loaders are the safe one

        if _count(document, job["most"]) > job["most"]:
            raise ValueError(f"more than {job['most']:,} values, aliases counted as often as they are used")
        return {"document": document}

    return {"run": dry_run, "parse": parse}


def _count(document: object, most: int) -> int:
    """How many values a document would have as JSON; beyond ``most`` at least that many."""
    pending, count = [document], 0
    while pending and count + len(pending) <= most:
        current = pending.pop()
        count += 1
        if isinstance(current, dict):
            pending.extend(current.values())
        elif isinstance(current, list):
            pending.extend(current)
    return count + len(pending)


def _answer(
    job: Mapping[str, Any], handlers: Mapping[str, Callable[..., dict[str, Any]]], announce: Callable[[str], None]
) -> dict[str, Any]:
    limit_cpu(float(job.get("seconds", 1)) * 4 + 10)
    try:
        return {"id": job["id"], "report": handlers[job["do"]](job, announce)}
    except Exception as error:  # noqa: BLE001 -- whatever it is, the other side must hear of it
        return {"id": job["id"], "error": f"{type(error).__name__}: {error}"[:MAX_TEXT]}


def _send(replies: TextIO, message: Mapping[str, Any]) -> None:
    replies.write(json.dumps(message, default=_text) + "\n")
    replies.flush()


def _text(value: object) -> object:
    """Values of the engine in outputs that only a person reads: a file is its name."""
    plain = getattr(value, "to_object", None)
    return plain() if plain else str(getattr(value, "filename", None) or value)[:MAX_TEXT]


def _warm_node(node: str, kind: str, **data: Any) -> dict[str, Any]:
    return {"id": node, "data": {"type": kind, "title": kind, **data}}


_WARM_UP = {
    "kind": "app",
    "app": {"mode": "workflow"},
    "workflow": {
        "graph": {
            "nodes": [
                _warm_node("a", "start", variables=[{"variable": "x", "label": "x", "type": "text-input"}]),
                _warm_node(
                    "b",
                    "llm",
                    model={"provider": "p", "name": "m", "mode": "chat"},
                    prompt_template=[{"role": "user", "text": "{{#a.x#}}"}],
                    context={"enabled": False},
                ),
                _warm_node(
                    "c",
                    "template-transform",
                    variables=[{"variable": "x", "value_selector": ["b", "text"]}],
                    template="{{ x | upper | tojson }}",
                ),
                _warm_node("d", "end", outputs=[{"variable": "y", "value_selector": ["c", "output"]}]),
            ],
            "edges": [{"source": s, "target": t} for s, t in ("ab", "bc", "cd")],
        }
    },
}
