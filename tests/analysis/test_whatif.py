"""The same calls otherwise, against every call priced again one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from benchmarks import month
from dslkit.analysis import Scope
from dslkit.analysis.rates import rates_of
from dslkit.analysis.whatif import Change, used, what_if
from dslkit.ledger import Ledger
from dslkit.pricing import Prices
from dslkit.records import Usage

AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    home, calls = tmp_path_factory.mktemp("month"), month.make(600, seed=9, runs=9)
    month.record(calls, str(home))
    return home, calls


def usages(made, *, cached: float | None = None) -> list[tuple[str, Usage]]:
    """The model and the usage of each attempt that used tokens, from what was recorded."""
    _, calls = made
    model = {(one.call_id, one.attempt): one.request_model for one in calls.starts}
    return [
        (
            model[end.call_id, end.attempt],
            Usage(
                input_tokens=end.usage.input_tokens,
                output_tokens=end.usage.output_tokens,
                cache_read_input_tokens=end.usage.cache_read_input_tokens or 0
                if cached is None
                else round(end.usage.input_tokens * cached),
                reasoning_output_tokens=end.usage.reasoning_output_tokens,
            ),
        )
        for end in calls.ends
        if end.usage and not end.cache_hit
    ]


def priced(pairs, model: str | None = None, tier: str | None = None) -> Decimal:
    prices = Prices()
    costs = [
        prices.price(usage, provider="openai", model=model or own, date=AT, tier=tier).cost_usd for own, usage in pairs
    ]
    return sum((cost for cost in costs if cost is not None), Decimal(0))


@pytest.mark.parametrize(
    ("change", "model", "tier"),
    [
        (Change(model="gpt-4o"), "gpt-4o", None),
        (Change(model="gpt-4o", batch=True), "gpt-4o", "batch"),
        (Change(model="gpt-4o", cached=0.5), "gpt-4o", None),
        (Change(model="gpt-4.1-mini", cached=0.0), "gpt-4.1-mini", None),
    ],
)
def test_on_another_model(made, change, model, tier) -> None:
    calls = used(Ledger(made[0]).snapshot(), Scope())
    assert sum(one.attempts for one in calls) == len(usages(made))
    found = what_if(calls, change, Prices(), AT)
    assert found == pytest.approx(priced(usages(made, cached=change.cached), model, tier), rel=Decimal("1e-5"))


def test_the_same_models_in_batches(made) -> None:
    known = [one for one in used(Ledger(made[0]).snapshot(), Scope()) if one.model != "house-model"]
    pairs = [(model, usage) for model, usage in usages(made) if model != "house-model"]
    found = what_if(known, Change(batch=True), Prices(), AT)
    assert found == pytest.approx(priced(pairs, tier="batch"), rel=Decimal("1e-6"))


def test_an_unknown_price_stays_unknown(made) -> None:
    calls = used(Ledger(made[0]).snapshot(), Scope())
    assert [one.unpriced for one in calls if one.model == "house-model"] != [0]
    assert what_if(calls, Change(), Prices(), AT) is None  # one of the models has no price
    assert what_if(calls, Change(model="nobody-knows"), Prices(), AT) is None
    assert what_if((), Change(model="gpt-4o"), Prices(), AT) is None


def test_a_scope_counts_its_own_calls(made) -> None:
    run = made[1].runs[0].run_id
    calls = used(Ledger(made[0]).snapshot(), Scope(run=run))
    mine = {(one.call_id, one.attempt) for one in made[1].starts if one.attribution.run_id == run}
    ended = [one for one in made[1].ends if (one.call_id, one.attempt) in mine and one.usage and not one.cache_hit]
    assert sum(one.attempts for one in calls) == len(ended)
    assert sum(one.output_tokens for one in calls) == sum(one.usage.output_tokens for one in ended)


def test_prices_that_rise_with_the_size_of_a_call() -> None:
    small, large = (rates_of(Prices(), "google", "gemini-2.5-pro", AT, size=size) for size in (1000, 300_000))
    assert large.input == 2 * small.input


def test_a_share_is_a_share() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        Change(cached=50)
