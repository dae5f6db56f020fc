"""A notebook reads the ledger over and over while two batches write it: sums that only grow, and nobody waits."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import nbformat
import pytest

from tests.browser.conftest import CELL_PATIENCE_MS, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

ITEMS = 60
BATCH = """
import asyncio, sys
from dslkit.batch import generate_batch, load
asyncio.run(generate_batch(load(f"{sys.argv[1]}.txt"), out=sys.argv[1], engine=False))
"""
WATCH = """
import json, time
from dslkit import Ledger
from dslkit.settings import load_settings
ledger = Ledger(load_settings().home)
seen, done, until = [], 0, time.monotonic() + 240
print("watching")
while done < 2 and time.monotonic() < until:
    ((calls, tokens),) = ledger.sql("SELECT count(*), coalesce(sum(input_tokens), 0) FROM calls").fetchall()
    seen.append((calls, tokens))
    ((done,),) = ledger.sql("SELECT count(*) FROM runs WHERE status = 'completed'").fetchall()
print(json.dumps({"grew": seen == sorted(seen), "between": len({calls for calls, _ in seen}), "runs": done}))
"""
SHOW = "ledger.sql('SELECT run_id, count(*) AS calls, sum(input_tokens) AS tokens FROM calls GROUP BY ALL')"
KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}}


def test_a_notebook_reads_while_two_batches_write(lab: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source.strip()) for source in (WATCH, SHOW)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=KERNEL), tmp_path / "work" / "reading.ipynb")
    for name in ("one", "two"):
        lines = [f"Translate a text (variable {name}{number}) to French" for number in range(ITEMS)]
        (tmp_path / "work" / f"{name}.txt").write_text("\n".join(lines))
    page = open_page()
    run_all(page, lab, "reading.ipynb", ".jp-OutputArea-output")
    command = [sys.executable, "-c", BATCH]
    batches = [subprocess.Popen([*command, name], cwd=tmp_path / "work") for name in ("one", "two")]
    assert [batch.wait(240) for batch in batches] == [0, 0]
    page.locator(".jp-RenderedHTMLCommon table, .jp-RenderedHTML table").wait_for(timeout=4 * CELL_PATIENCE_MS)
    said = json.loads(re.findall(r"\{.*\}", page.locator(".jp-OutputArea-output").first.inner_text())[-1])
    assert said["grew"]
    assert said["runs"] == 2
    assert said["between"] > 3  # it saw the batches on their way
    shown = page.locator("table").inner_text()
    assert shown.count(f"\t{ITEMS}\t") == 2
    keep(page, "ledger-read-in-lab")
