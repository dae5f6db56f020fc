"""The notebooks without buttons in JupyterLab, one after the other on one ledger: all cells run, nothing is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CELL_PATIENCE_MS, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# What each shows last; the ledger of the first is what the others tell of.
LAST = {
    "generate_batch": "unfinished = []",
    "cost_report": "Call",
    "compare_runs": "95 % interval",
    "benchmark": "working = ",
}
CUT = """() => [...document.querySelectorAll('.jp-OutputArea-output')]
  .filter(output => output.scrollWidth > output.clientWidth + 1)
  .map(output => output.innerText.slice(0, 80))"""


def test_each_runs_from_top_to_bottom(lab: str, open_page: Callable[..., Page]) -> None:
    for name, last in LAST.items():
        page = open_page()
        run_all(page, f"{lab}&reset", f"{name}.ipynb", ".jp-OutputArea-output")
        page.locator(".jp-OutputArea-output", has_text=last).first.wait_for(timeout=4 * CELL_PATIENCE_MS)
        assert page.evaluate(CUT) == []
        keep(page, f"lab-{name}")
        page.close()
