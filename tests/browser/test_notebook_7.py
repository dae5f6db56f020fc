"""The interactive notebooks in Jupyter Notebook 7: the same forms, clicked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CELL_PATIENCE_MS, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_the_form_generates_by_a_click(classic: str, open_page: Callable[..., Page]) -> None:
    page = open_page()
    run_all(page, classic, "tour.ipynb", ".dslkit-form")
    form = page.locator(".dslkit-form")
    form.get_by_role("button", name="Generate").click()
    form.locator("figure svg").wait_for(timeout=CELL_PATIENCE_MS)
    form.scroll_into_view_if_needed()
    keep(page, "classic-form")
    assert form.get_by_text("Verdict").is_visible()


def test_patterns_are_picked(classic: str, open_page: Callable[..., Page]) -> None:
    page = open_page()
    run_all(page, classic, "index_patterns.ipynb", ".dslkit-patterns")
    browser = page.locator(".dslkit-patterns")
    browser.locator("select").select_option(index=1)
    picked = browser.locator("option").nth(1).inner_text()
    browser.locator("b", has_text=picked).wait_for(timeout=CELL_PATIENCE_MS)
    browser.scroll_into_view_if_needed()
    keep(page, "classic-patterns")


def test_the_monitor_and_the_settings_are_shown(classic: str, open_page: Callable[..., Page]) -> None:
    page = open_page()
    run_all(page, classic, "monitor.ipynb", ".dslkit-monitor")
    assert "DSLKIT_HOME" in page.locator(".dslkit table").first.inner_text()
    monitor = page.locator(".dslkit-monitor")
    monitor.get_by_role("button", name="Watching").click()
    monitor.locator("button", has_text=re.compile(r"Watch$")).wait_for(timeout=CELL_PATIENCE_MS)
    assert monitor.locator(".bad").count() == 0, "the notebook's own reading got in the monitor's way"
    keep(page, "classic-monitor")
