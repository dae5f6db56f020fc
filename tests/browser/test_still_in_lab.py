"""What a saved notebook shows when its kernel has gone: a still of the form with its last result, and no error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import CELL_PATIENCE_MS, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def menu(page: Page, name: str, item: str) -> None:
    page.get_by_role("menuitem", name=name, exact=True).click()
    page.get_by_role("menuitem", name=re.compile(f"^{item}")).first.click()


def test_the_form_leaves_a_still(lab: str, open_page: Callable[..., Page]) -> None:
    page = open_page()
    run_all(page, lab, "tour.ipynb", ".dslkit-form")
    page.get_by_text("verdict = ").wait_for(timeout=CELL_PATIENCE_MS)
    assert not page.locator(".dslkit-still").is_visible(), "beside the live form there is no still"
    form = page.locator(".dslkit-form")
    form.get_by_role("button", name="Generate").click()
    form.get_by_role("button", name="Change it").wait_for(timeout=CELL_PATIENCE_MS)
    page.locator(".dslkit-still figure").wait_for(state="attached", timeout=CELL_PATIENCE_MS)
    menu(page, "File", "Save Notebook")
    page.locator(".jp-mod-dirty").wait_for(state="detached", timeout=CELL_PATIENCE_MS)
    menu(page, "Kernel", "Shut Down Kernel")
    page.goto(f"{lab.format('tour.ipynb')}&reset&again")
    still = page.locator(".dslkit-still")
    still.locator("figure svg").wait_for(timeout=CELL_PATIENCE_MS)
    still.scroll_into_view_if_needed()
    keep(page, "still")
    assert not page.get_by_text("Error displaying widget").is_visible()
    assert page.locator(".dslkit-form").count() == 0
