"""The pattern browser and the live monitor in JupyterLab: searched, picked, and seen to change."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CELL_PATIENCE_MS, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

BATCH = """
import asyncio
from dslkit.batch import generate_batch, load
asyncio.run(generate_batch(load("five.txt"), out="out", engine=False))
"""


def test_patterns_are_searched_and_picked(lab: str, open_page: Callable[..., Page]) -> None:
    page = open_page()
    run_all(page, lab, "index_patterns.ipynb", ".dslkit-patterns")
    browser = page.locator(".dslkit-patterns")
    browser.locator("figure svg").wait_for(timeout=CELL_PATIENCE_MS)
    first = browser.locator("b").first.inner_text()
    every = browser.locator("option").count()
    browser.locator("input").fill("sort support tickets")
    browser.locator("input").press("Enter")
    browser.locator("option", has_text="0.").first.wait_for(timeout=CELL_PATIENCE_MS, state="attached")
    assert 0 < browser.locator("option").count() <= min(10, every)
    browser.locator("select").select_option(index=1)
    picked = browser.locator("option").nth(1).inner_text().split(maxsplit=1)[1]
    browser.locator("b", has_text=picked).wait_for(timeout=CELL_PATIENCE_MS)
    assert picked != first or every == 1
    browser.scroll_into_view_if_needed()
    keep(page, "patterns")


def test_the_monitor_shows_what_another_process_does(lab: str, open_page: Callable[..., Page], tmp_path: Path) -> None:
    page = open_page()
    run_all(page, lab, "monitor.ipynb", ".dslkit-monitor")
    monitor = page.locator(".dslkit-monitor")
    assert "No run yet." in monitor.inner_text()
    keep(page, "monitor-before")
    (tmp_path / "five.txt").write_text("\n".join(f"Translate a text (variable text{k}) to French" for k in range(5)))
    subprocess.run([sys.executable, "-c", BATCH], cwd=tmp_path, check=True)
    monitor.get_by_text("batch, completed, 5 items").wait_for(timeout=CELL_PATIENCE_MS)
    assert monitor.locator(".figures div", has_text="Attempts a minute").locator("b").inner_text() == "5"
    monitor.scroll_into_view_if_needed()
    keep(page, "monitor-after")
    monitor.get_by_role("button", name="Watching").click()
    monitor.locator("button", has_text=re.compile(r"Watch$")).wait_for(timeout=CELL_PATIENCE_MS)
