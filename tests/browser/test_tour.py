"""The tour as a newcomer sees it: JupyterLab in a real browser, all cells run, the form clicked."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import ROOT, jupyterlab, keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
CELL_PATIENCE_MS = 60_000
ERROR = ".jp-Notebook .jp-RenderedText[data-mime-type*=error]"


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[], str]:
    root = tmp_path / "work"
    shutil.copytree(ROOT / "notebooks", root)
    with jupyterlab(root, theme=request.param) as address:
        yield address


def run_all(page: Page, address: str) -> None:
    page.goto(address.format("tour.ipynb"))
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=CELL_PATIENCE_MS)
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=CELL_PATIENCE_MS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(f"{ERROR}, .dslkit-form").first.wait_for(timeout=CELL_PATIENCE_MS)
    assert page.locator(ERROR).all_inner_texts() == []
    page.get_by_text("verdict = ").wait_for(timeout=CELL_PATIENCE_MS)


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
    run_all(page, lab)
    form = page.locator(".dslkit-form")
    form.scroll_into_view_if_needed()
    keep(page, f"tour-{name}-form")
    form.get_by_role("button", name="Generate").click()
    form.locator("figure svg").wait_for(timeout=CELL_PATIENCE_MS)
    assert form.get_by_text("Verdict").is_visible()
    keep(page, f"tour-{name}-result")
    with page.expect_download() as started:
        form.locator("a.download").click()
    text = Path(started.value.path()).read_text()
    assert text.startswith("app:") or "\nkind: app" in text
