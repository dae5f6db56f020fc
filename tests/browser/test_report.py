"""The report in a real Chromium: hostile texts stay texts, nothing is fetched, and it fits screen and paper."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from benchmarks import month
from dslkit.report import write, write_comparison

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "</style><script>alert(4)</script>",
    "</title><svg onload=alert(5)>",
    "<!-- <details open ontoggle=alert(6)>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(7)",
    "\u202egnp.txt\u202c مرحبا بالعالم",
    "x" * 500,
    "](http://example.invalid/) ![x](http://example.invalid/x.png)",
    "a\x00b\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
)


def hostile_month() -> month.Month:
    """A small month in which every text that came from outside is hostile."""
    made = month.make(150, seed=5, runs=3)
    texts = iter(HOSTILE * 1000)
    starts = [
        replace(
            start,
            request_model=next(texts),
            attribution=replace(
                start.attribution,
                run_id=next(texts),
                item_id=next(texts),
                stage=next(texts),
                tags={next(texts): next(texts)},
            ),
        )
        for start in made.starts
    ]
    ends = [
        replace(end, response_model=None, error_type=next(texts), error_message=next(texts)) if k % 3 == 0 else end
        for k, end in enumerate(made.ends)
    ]
    items = [
        replace(item, run_id=next(texts), item_id=next(texts), model=next(texts), error_message=next(texts))
        for item in made.items
    ]
    return replace(made, starts=starts, ends=ends, items=items)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    month.record(hostile_month(), str(folder / "home"))
    return write(folder / "home", folder / "report.html", title="".join(HOSTILE[:6]))


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of two runs with hostile names."""
    folder = tmp_path_factory.mktemp("compared")
    made = month.make(300, seed=5, runs=2)
    names = dict(zip(sorted({run.run_id for run in made.runs}), HOSTILE[:2], strict=True))
    starts = [
        replace(one, attribution=replace(one.attribution, run_id=names[one.attribution.run_id])) for one in made.starts
    ]
    items = [replace(one, run_id=names[one.run_id]) for one in made.items]
    month.record(replace(made, starts=starts, items=items), str(folder / "home"))
    return write_comparison(folder / "home", folder / "comparison.html", *HOSTILE[:2], title="".join(HOSTILE[:6]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The report, opened; fails on any dialog, error or request."""
    context = browser.new_context(**getattr(request, "param", {"viewport": {"width": 1100, "height": 900}}))
    opened = context.new_page()
    seen: list[str] = []
    opened.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    opened.on("request", lambda sent: seen.append(sent.url))
    opened.on("console", lambda message: seen.append(message.text))
    opened.on("pageerror", lambda error: seen.append(str(error)))
    opened.goto(report.as_uri())
    yield opened
    for element in opened.locator("summary").all():
        element.click()
    assert seen == [report.as_uri()]
    context.close()


def test_hostile_texts_stay_texts(page) -> None:
    assert page.locator("script, img, iframe, object, embed, form, a").count() == 0
    assert (
        page.evaluate(
            "[...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length"
        )
        == 0
    )
    assert page.locator("main style").count() == 0
    shown = page.locator("main").inner_text()
    assert "<script>alert(1)</script>" in shown
    assert "{{ 7 * 7 }}" in shown
    assert "49" not in page.locator("caption").all_inner_texts()
    assert HOSTILE[0] in page.title()


@pytest.mark.parametrize("page", [{"viewport": {"width": 390, "height": 800}}], indirect=True)
def test_phone(page) -> None:
    """The page itself never scrolls sideways; wide tables do, and can be reached with the keyboard."""
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator(".narrow svg").first.is_visible()
    assert not page.locator(".wide svg").first.is_visible()
    assert page.locator(".scroll:not([tabindex='0'])").count() == 0


CONTRAST = """
() => {
  const channels = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = text => channels(text).map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
    .reduce((sum, c, k) => sum + c * [.2126, .7152, .0722][k], 0);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return colour;
    }
  };
  const poor = new Set();
  for (const element of document.querySelectorAll('main *')) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const style = getComputedStyle(element);
    const ink = element.closest('svg') && element.tagName === 'text' ? style.fill : style.color;
    const [a, b] = [light(ink), light(behind(element))].sort((x, y) => y - x);
    if ((a + .05) / (b + .05) < 4.5) poor.add(`${element.tagName}.${element.className}: ${ink} on ${behind(element)}`);
  }
  return [...poor];
}
"""


@pytest.mark.parametrize(
    ("page", "background"),
    [({"color_scheme": "light"}, "rgb(255, 255, 255)"), ({"color_scheme": "dark"}, "rgb(20, 23, 27)")],
    indirect=["page"],
)
def test_every_text_can_be_read_in_light_and_dark(page, background) -> None:
    """Contrast of at least 4.5 (WCAG AA), also in the charts."""
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == background
    assert page.evaluate(CONTRAST) == []


@pytest.mark.parametrize("page", [{"color_scheme": "light"}, {"color_scheme": "dark"}], indirect=True)
def test_axe_finds_nothing_serious(page) -> None:
    """Open and closed: the numbers behind a chart are part of the page."""
    for element in page.locator("summary").all():
        element.click()
    assert serious(page) == []
    for element in page.locator("summary").all():
        element.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_a_comparison(browser, comparison, scheme) -> None:
    context = browser.new_context(color_scheme=scheme)
    opened = context.new_page()
    opened.goto(comparison.as_uri())
    assert opened.locator("figure").count() == 1
    assert HOSTILE[0] in opened.title()
    assert opened.locator("script, img, iframe, object, embed, form, a").count() == 0
    assert serious(opened) == []
    context.close()


def serious(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the element."""
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['html'][:200]}"
        for one in found
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def test_prints(page, tmp_path) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("details").first.is_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="screen")
