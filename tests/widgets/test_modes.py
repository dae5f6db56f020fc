"""Modes held against each other: the table says what the items and calls of the run say."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.batch import generate_batch
from dslkit.batch.runs import RUN_ID_VARIABLE
from dslkit.ledger import Ledger
from dslkit.records import Requirement
from dslkit.widgets import show

if TYPE_CHECKING:
    import pytest

WANTED = (
    Requirement(
        id="digest",
        messages=("Summarise a document (variable document) with a language model. Return it (variable digest).",),
        inputs=("document",),
        outputs=(("digest",),),
    ),
    Requirement(id="page", messages=("Translate a text (variable text) to French.",), inputs=("nothing",)),
)


def test_each_mode_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN_ID_VARIABLE, "both")
    for mode in ("simple", "multi_agent"):
        wanted = [replace(each, id=f"{each.id}.{mode}") for each in WANTED]
        asyncio.run(generate_batch(wanted, out=f"out/{mode}", mode=mode, engine=False))  # type: ignore[arg-type]
    simple, agents = show.by_mode("both")
    assert (simple.mode, agents.mode) == ("simple", "multi_agent")
    assert (simple.items, simple.working, simple.unfinished) == (2, 0, 0)
    assert (simple.exact, simple.judged) == (1, 2)
    assert (simple.calls, agents.calls) == (1.0, 3.0)
    rows = Ledger(Path(os.environ["DSLKIT_HOME"])).sql(
        "SELECT sum(input_tokens + output_tokens) / 2 FROM calls WHERE item_id LIKE '%.simple'"
    )
    assert [(simple.tokens,)] == rows.fetchall()
    shown = show.modes("both")
    assert "1 of 2" in shown.html
    assert shown.text.splitlines()[1].startswith("multi_agent: 0 of 2 working, $0 and ")


def test_a_run_without_items() -> None:
    assert show.modes("nothing").text == "No items."
