"""The form: what its button does, with the offline model and the real pipeline behind it."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from dslkit.widgets import generator_form

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.widgets.generator import GeneratorForm

REQUEST = "Build a workflow that translates a text (variable text) to French and returns it (variable translation)."


def clicked(form: GeneratorForm) -> str:
    """What the form shows when the generation that a click starts is over."""

    async def click() -> None:
        form._go.click()
        assert form._task is not None
        await form._task

    asyncio.run(click())
    return form._result.value


def test_shows_picture_verdict_cost_and_file() -> None:
    form = generator_form(REQUEST)
    shown = clicked(form)
    assert form.workflow is not None
    assert form.item is not None
    assert "<svg" in shown
    assert form.item.verdict in shown
    assert "1 call" in shown
    (encoded,) = re.findall(r'download="[a-z0-9_]+\.yml" href="data:[^,]+,([^"]+)"', shown)
    document = yaml.safe_load(base64.b64decode(encoded))
    assert document["kind"] == "app"


def test_a_further_request_is_a_round() -> None:
    form = generator_form(REQUEST)
    clicked(form)
    assert (form._ask.value, form._go.description) == ("", "Change it")
    form._ask.value = "Also return the language of the text (variable language)."
    shown = clicked(form)
    assert "language of the text" in shown
    assert REQUEST in shown
    form._anew.click()
    assert form.workflow is None
    assert form._go.description == "Generate"


def test_the_button_waits_while_it_works() -> None:
    form = generator_form(REQUEST)

    async def click_twice() -> tuple[bool, bool]:
        form._go.click()
        first = form._task
        await asyncio.sleep(0)
        busy = form._go.disabled
        form._clicked(form._go)
        assert first is not None
        same = form._task is first
        await first
        return busy, same

    assert asyncio.run(click_twice()) == (True, True)
    assert not form._go.disabled


def test_an_error_is_shown_in_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    form = generator_form(REQUEST)
    monkeypatch.setenv("DSLKIT_REQUESTS_PER_MINUTE", "0")
    shown = clicked(form)
    assert "SettingsError" in shown
    assert "DSLKIT_REQUESTS_PER_MINUTE" in shown
    assert not form._go.disabled


def test_an_error_leaves_what_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture, the file and the change that was asked for are still there; asking again goes on."""
    form = generator_form(REQUEST)
    made = clicked(form)
    form._ask.value = "Return the language too (variable language)."
    monkeypatch.setenv("DSLKIT_REQUESTS_PER_MINUTE", "0")
    shown = clicked(form)
    assert "SettingsError" in shown
    assert made.partition("<figure")[2] == shown.partition("<figure")[2] != ""
    assert form._ask.value == "Return the language too (variable language)."
    monkeypatch.delenv("DSLKIT_REQUESTS_PER_MINUTE")
    assert "SettingsError" not in clicked(form)
    assert "variable language" in form._result.value


def test_a_second_button_stops_it() -> None:
    form = generator_form(REQUEST)

    async def click_and_stop() -> str:
        form._go.click()
        await asyncio.sleep(0)
        words = str(form._anew.description)
        form._anew.click()
        assert form._task is not None
        await form._task
        return words

    assert asyncio.run(click_and_stop()) == "Stop"
    assert "Stopped." in form._result.value
    assert (form._anew.description, form._anew.disabled, form._ask.value) == ("Start anew", True, REQUEST)
    assert "<svg" in clicked(form)


def test_an_error_that_repeats_the_key_does_not_show_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "OPENAI_API_KEY=correct-horse-battery\nOPENAI_BASE_URL=nonsense://correct-horse-battery\n"
    )
    shown = clicked(generator_form(REQUEST, model="gpt-4o-mini"))
    assert "Error" in shown
    assert "correct-horse-battery" not in shown


def test_an_empty_request_is_asked_for() -> None:
    assert "Say first" in clicked(generator_form(" "))


def test_what_people_type_is_escaped() -> None:
    shown = clicked(generator_form(f"<img src=x onerror=alert(1)> {REQUEST}"))
    assert "<img" not in shown


def test_there_is_a_still_for_pages_without_a_kernel() -> None:
    """Made anew with each result, so that a saved notebook shows the last."""
    form = generator_form(REQUEST)
    still, live = form.bundles()
    assert "application/vnd.jupyter.widget-view+json" in live
    assert list(still) == ["text/html", "text/plain"]
    assert "still picture" in still["text/html"]
    assert REQUEST in still["text/html"]
    renewed: list[object] = []

    class Handle:
        def update(self, bundle: dict[str, str], *, raw: bool) -> None:
            renewed.append((bundle["text/html"], raw))

    form._still = Handle()
    clicked(form)
    ((html, raw),) = renewed
    assert raw
    assert "<svg" in html


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="simple, rag, multi_agent"):
        generator_form(mode="best")  # type: ignore[arg-type]
