"""The tour as a newcomer sees it: JupyterLab in a real browser, all cells run, the form clicked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.browser.conftest import CELL_PATIENCE_MS, keep, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

INSIDE = "f => f.querySelector('figure').getBoundingClientRect().right <= f.getBoundingClientRect().right + 1"


@pytest.mark.parametrize(
    ("lab", "width"),
    [("JupyterLab Light", 1280), ("JupyterLab Dark", 1280), ("JupyterLab Light", 640)],
    indirect=["lab"],
    ids=["light", "dark", "narrow"],
)
def test_the_form_generates_by_a_click(
    lab: str, width: int, open_page: Callable[..., Page], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    page = open_page(width=width, dark=name == "dark")
    run_all(page, lab, "tour.ipynb", ".dslkit-form")
    page.get_by_text("verdict = ").wait_for(timeout=CELL_PATIENCE_MS)
    form = page.locator(".dslkit-form")
    form.scroll_into_view_if_needed()
    keep(page, f"tour-{name}-form")
    form.get_by_role("button", name="Generate").click()
    form.locator("figure svg").wait_for(timeout=CELL_PATIENCE_MS)
    assert form.get_by_text("Verdict").is_visible()
    assert form.evaluate("form => form.scrollWidth <= form.clientWidth + 1"), "something is cut at the right"
    assert form.evaluate(INSIDE), "the picture widens the form, where it should be scrolled"
    form.locator("figure").scroll_into_view_if_needed()
    keep(page, f"tour-{name}-result")
    with page.expect_download() as started:
        form.locator("a.download").click()
    assert yaml.safe_load(Path(started.value.path()).read_text())["kind"] == "app"


def test_a_change_is_asked_for_by_a_second_click(lab: str, open_page: Callable[..., Page]) -> None:
    page = open_page()
    run_all(page, lab, "tour.ipynb", ".dslkit-form")
    form = page.locator(".dslkit-form")
    form.get_by_role("button", name="Generate").click()
    form.get_by_role("button", name="Change it").wait_for(timeout=CELL_PATIENCE_MS)
    form.locator("textarea").fill("Return the language of the feedback too (variable language).")
    form.get_by_role("button", name="Change it").click()
    form.locator(".said li").nth(1).wait_for(timeout=CELL_PATIENCE_MS)
    assert "variable language" in form.locator(".said li").nth(1).inner_text()
    form.get_by_role("button", name="Start anew").click()
    form.get_by_role("button", name="Generate").wait_for(timeout=CELL_PATIENCE_MS)
    assert form.locator("figure").count() == 0
