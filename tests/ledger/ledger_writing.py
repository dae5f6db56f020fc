"""Records to write, and processes that write them until they are killed."""

from __future__ import annotations

import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dslkit.records import Attribution, CallEnd, CallStart, Item, Run, Usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def start(call_id: str | None = None, **values: Any) -> CallStart:
    """One attempt about to leave."""
    attribution = Attribution(
        run_id=values.pop("run_id", "run-1"),
        item_id=values.pop("item_id", "item-1"),
        stage=values.pop("stage", "configuration"),
        tags=values.pop("tags", {"team": "blue"}),
    )
    return CallStart(
        **{
            "call_id": call_id or str(uuid.uuid4()),
            "attempt": 1,
            "attribution": attribution,
            "provider_name": "openai",
            "operation_name": "chat",
            "request_model": "gpt-4o-mini",
            "estimated_input_tokens": 100,
            "estimated_output_tokens": 50,
            "request_bytes": 1234,
            "stream": False,
            "throttle_wait_s": 0.25,
            "started_at": NOON,
            **values,
        }
    )


def end(of: CallStart, **values: Any) -> CallEnd:
    """Its answer: 1,000 input and 100 output tokens, $0.00021."""
    return CallEnd(
        **{
            "call_id": of.call_id,
            "attempt": of.attempt,
            "outcome": "ok",
            "ended_at": of.started_at + timedelta(seconds=2),
            "latency_s": 2.0,
            "usage": Usage(input_tokens=1000, output_tokens=100),
            "http_status": 200,
            "response_model": "gpt-4o-mini-2024-07-18",
            "finish_reason": "stop",
            **values,
        }
    )


def call(recorder: Any, **values: Any) -> str:
    """Record a whole call; return its id."""
    ending = values.pop("ending", {})
    one = start(**values)
    recorder.reserve(one)
    recorder.settle(end(one, **ending))
    return one.call_id


def run(run_id: str = "run-1", **values: Any) -> Run:
    return Run(**{"run_id": run_id, "started_at": NOON, **values})


def item(item_id: str = "item-1", **values: Any) -> Item:
    return Item(
        **{
            "run_id": "run-1",
            "item_id": item_id,
            "key": "k",
            "model": "gpt-4o-mini",
            "mode": "simple",
            "verdict": "working",
            "engine": "ran",
            "started_at": NOON,
            "ended_at": NOON + timedelta(seconds=9.5),
            **values,
        }
    )


_PROGRAM = """
import os, sys
sys.path.insert(0, {tests!r})
from ledger_writing import *
from dslkit.ledger import Ledger
recorder = Ledger({home!r}).recorder()
{body}
"""


def in_process(home: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Run a piece of Python with a ``recorder`` in a process of its own."""
    program = _PROGRAM.format(tests=str(Path(__file__).parent), home=str(home), body=body)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
