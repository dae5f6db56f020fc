"""The notebooks without buttons in JupyterLab, one after the other on one ledger: all cells run, nothing is cut."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CELL_PATIENCE_MS, ERROR, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

IN_ORDER = ("generate_batch", "cost_report", "compare_runs", "benchmark")  # the others tell of what the first made
ALL_RUN = """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')]
  .every(prompt => /\\[\\d+\\]/.test(prompt.innerText))"""
CUT = """() => [...document.querySelectorAll('.jp-OutputArea-output')]
  .filter(output => output.scrollWidth > output.clientWidth + 1)
  .map(output => output.innerText.slice(0, 80))"""


def test_each_runs_from_top_to_bottom(lab: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    (tmp_path / "work" / ".dslkit").symlink_to(os.environ["DSLKIT_HOME"], target_is_directory=True)
    for name in IN_ORDER:
        page = open_page()
        run_all(page, f"{lab}&reset", f"{name}.ipynb", ".jp-OutputArea-output")
        page.wait_for_function(
            f"() => document.querySelector('{ERROR}') || ({ALL_RUN})()", timeout=4 * CELL_PATIENCE_MS
        )
        assert page.locator(ERROR).all_inner_texts() == []
        assert page.evaluate(CUT) == []
        keep(page, f"lab-{name}")
        page.close()
