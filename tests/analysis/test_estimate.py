"""An estimate goes by the very bytes that a batch sends, and the report's look back says what it said."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from dslkit.analysis.estimate import estimate, in_hindsight
from dslkit.analysis.forecast import Speed
from dslkit.analysis.history import made_items, past_items
from dslkit.batch import generate_batch
from dslkit.batch.first_request import first_requests, frame_of, later_frames
from dslkit.batch.recipe import Recipe
from dslkit.batch.requirements import from_text
from dslkit.ledger import Ledger
from dslkit.pricing import Prices
from dslkit.settings import Settings

FIRST = ["Summarise a document (variable document) and return it (variable summary).", "Übersetze – 翻译 – a text."]
SECOND = ["Route tickets by topic.", "Translate a page (variable url) into three languages, one after another."]


def make(texts, home, out, **choices) -> str:
    wanted = [from_text(text) for text in texts]
    made = generate_batch(wanted, out=out, settings=Settings(home=home), engine=False, **choices)
    return asyncio.run(made).run_id


@pytest.mark.parametrize("mode", ["simple", "rag", "multi_agent"])
def test_sizes_are_those_of_what_is_sent(tmp_path, mode) -> None:
    make(FIRST, tmp_path / "home", tmp_path / "out", mode=mode)
    sent = {one.item_id: one.first_bytes for one in past_items(Ledger(tmp_path / "home").snapshot())}
    wanted = [from_text(text) for text in FIRST]
    sizes = first_requests(wanted, Recipe(model="offline", mode=mode), tmp_path / "home")
    assert sent == dict(zip([one.id for one in wanted], sizes, strict=True))
    assert all(size > frame_of(Recipe(model="offline", mode=mode)) for size in sizes)


@pytest.mark.parametrize("mode", ["simple", "rag", "multi_agent"])
def test_what_comes_lies_within_the_ranges_from_the_first_batch_on(tmp_path, mode) -> None:
    """Of the model that makes them; and of a new one, which is sent the same prompts, the input."""
    home, ledger = tmp_path / "home", Ledger(tmp_path / "home")
    for texts in (FIRST, SECOND):
        wanted, now = [from_text(text) for text in texts], datetime.now(UTC)
        own, new = (
            estimate(wanted, Recipe(model=model, mode=mode), ledger, home, prices=Prices(), speed=Speed(), at=now)
            for model in ("offline", "gpt-4o-mini")
        )
        run = make(texts, home, tmp_path / "out", mode=mode)
        made = made_items(ledger.snapshot(), [run])
        assert own.forecast is not None
        assert new.forecast is not None
        for figure in ("calls", "input_tokens", "output_tokens"):
            fact, expected = sum(getattr(one, figure) for one in made), getattr(own.forecast, figure)
            assert expected.low <= fact <= expected.high, (figure, fact, expected)
        sent = sum(one.input_tokens for one in made)
        assert 0.6 < sent / new.forecast.input_tokens.middle < 1.2, (sent, new.forecast.input_tokens)


def test_later_requests_are_about_as_large_as_those_sent(tmp_path) -> None:
    make(FIRST, tmp_path / "home", tmp_path / "out", mode="multi_agent")
    sent = (
        Ledger(tmp_path / "home")
        .snapshot()
        .execute("SELECT sum(request_bytes) FROM calls WHERE stage IN ('architecture', 'configuration')")
        .fetchall()[0][0]
    )
    expected = len(FIRST) * later_frames(Recipe(model="offline", mode="multi_agent"))
    assert expected == pytest.approx(sent, rel=0.1)
    assert later_frames(Recipe(model="offline", mode="rag")) == 0


def test_hindsight_says_what_the_estimate_said(tmp_path) -> None:
    home, ledger = tmp_path / "home", Ledger(tmp_path / "home")
    make(FIRST, home, tmp_path / "out")
    wanted = [from_text(text) for text in SECOND]
    before = estimate(
        wanted, Recipe(model="offline"), ledger, home, prices=Prices(), speed=Speed(), at=datetime.now(UTC)
    )
    run = make(SECOND, home, tmp_path / "out")
    views = ledger.snapshot()
    after = in_hindsight(past_items(views), made_items(views, [run]), Prices())
    assert before.forecast is not None
    assert before.forecast.past == 2
    for figure in ("calls", "input_tokens", "output_tokens", "cost_usd", "work_s", "past"):
        assert getattr(after, figure) == getattr(before.forecast, figure), figure


def test_what_is_done_is_not_forecast_again(tmp_path) -> None:
    home = tmp_path / "home"
    make(FIRST, home, tmp_path / "out")

    def look(texts):
        wanted = [from_text(text) for text in texts]
        return estimate(
            wanted, Recipe(model="offline"), Ledger(home), home, prices=Prices(), speed=Speed(), at=datetime.now(UTC)
        )

    assert (look(FIRST).done, look(FIRST).forecast) == (2, None)
    both = look(FIRST + SECOND)
    assert (both.items, both.done) == (4, 2)
    assert both.forecast is not None
    assert both.forecast.items == 2
