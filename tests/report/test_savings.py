"""Suggestions, and what caching saved, computed again from the journal in plain Python."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import journals
import pytest
from rendering import render
from test_page import text_of

from benchmarks import month
from dslkit.analysis import Scope
from dslkit.analysis.rates import rates_of
from dslkit.ledger import Ledger
from dslkit.pricing import Prices
from dslkit.records import Usage
from dslkit.report.facts import Facts, gather
from dslkit.report.savings import cache_saving, suggestions

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.records import Attribution, CallEnd

END = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("month")
    made = month.make(2000, seed=3, runs=18)
    odd = {start.call_id for start in made.starts[::90]}  # calls of items that also used a model of unknown price
    starts = [replace(one, request_model="house-model") if one.call_id in odd else one for one in made.starts]
    ends = [replace(one, response_model=None) if one.call_id in odd else one for one in made.ends]
    month.record(replace(made, starts=starts, ends=ends), str(folder))
    return folder


def facts_of(home: Path) -> Facts:
    return gather(Ledger(home).snapshot(), Scope())


def suggested(home: Path) -> dict[str, Decimal]:
    return {one.advice: one.saving_usd for one in suggestions(facts_of(home), Prices(), END)}


def test_a_cheaper_model(home) -> None:
    spent: dict[tuple[str, str], list[journals.Row]] = defaultdict(list)
    for row in journals.calls(home):
        spent[row["run_id"], row["item_id"]].append(row)
    costs: dict[str, list[Decimal]] = defaultdict(list)
    for item in journals.items(home):
        own = spent[item["run_id"], item["item_id"]]
        if not any(map(journals.unpriced, own)):
            costs[item["model"]].append(sum((row["cost"] for row in own if row["cost"] is not None), Decimal(0)))
    mean = {model: sum(values) / len(values) for model, values in costs.items()}
    found = suggested(home)
    expected = len(costs["gpt-4o"]) * (mean["gpt-4o"] - mean["gpt-4o-mini"])
    assert found["gpt-4o-mini instead of gpt-4o"] == pytest.approx(expected)


def test_quality_rounds_that_did_not_help(home) -> None:
    lost = {
        (item["run_id"], item["item_id"]) for item in journals.items(home) if item["verdict"] in {"errors", "failed"}
    }
    expected = sum(
        row["cost"]
        for row in journals.calls(home)
        if row["stage"] == "quality" and (row["run_id"], row["item_id"]) in lost and row["cost"] is not None
    )
    found = suggested(home)
    assert found["Fewer quality rounds"] == expected


def test_a_model_that_works_much_less_often_is_not_suggested(tmp_path) -> None:
    made = month.make(2000, seed=3, runs=18)
    items = [replace(item, verdict="errors") if item.model == "gpt-4o-mini" else item for item in made.items]
    month.record(replace(made, items=items), str(tmp_path))
    assert not any("gpt-4o-mini instead" in advice for advice in suggested(tmp_path))


def test_too_few_items_suggest_nothing(tmp_path) -> None:
    month.record(month.make(60, seed=3, runs=6), str(tmp_path))
    assert not any("instead" in advice for advice in suggested(tmp_path))


def test_what_caching_saved(home) -> None:
    """Each call priced again as if nothing had been cached."""
    prices, expected = Prices(), Decimal(0)
    for row in journals.calls(home):
        if row["cost"] and row.get("cache_read_input_tokens") and not row.get("cache_hit"):
            usage = Usage(
                input_tokens=row["input_tokens"],
                output_tokens=row["output_tokens"],
                reasoning_output_tokens=row["reasoning_output_tokens"],
                cache_read_input_tokens=0,
            )
            anew = prices.price(usage, provider="openai", model=row["request_model"], date=row["at"]).cost_usd
            expected += anew - row["cost"]
    assert expected > 0
    assert cache_saving(facts_of(home), Prices(), END) == pytest.approx(expected, abs=Decimal("1e-6"))


def test_the_page_says_so(home, tmp_path) -> None:
    text = text_of(render(home, tmp_path / "report.html"))
    assert "gpt-4o-mini instead of gpt-4o: $" in text
    assert "Reading from the provider's cache, not anew, saved about $" in text


def test_nothing_is_suggested_where_nothing_was_spent(tmp_path) -> None:
    assert suggested(tmp_path / "nowhere") == {}
    assert "What would be cheaper" not in text_of(render(tmp_path / "nowhere", tmp_path / "report.html"))


def test_a_cheaper_model_for_one_stage(tmp_path) -> None:
    """Half of the runs have their configuration from a dearer model, which works no more often."""
    made = month.make(1500, seed=5, runs=12)
    dear = {run.run_id for run in made.runs[::2]}
    stages = {(one.call_id, one.attempt): one.attribution for one in made.starts}
    starts = [replace(one, request_model=_of_stage(one.attribution, dear)) for one in made.starts]
    ends = [replace(one, response_model=_of_stage(stages[one.call_id, one.attempt], dear)) for one in made.ends]
    items = [replace(one, model="gpt-4o-mini") for one in made.items]
    month.record(replace(made, starts=starts, ends=ends, items=items), str(tmp_path))
    costs: dict[bool, list[Decimal]] = defaultdict(list)
    for row in journals.calls(tmp_path):
        if row["stage"] == "configuration" and row["cost"] is not None:
            costs[row["run_id"] in dear].append(row["cost"])
    number = {side: sum((item["run_id"] in dear) == side for item in journals.items(tmp_path)) for side in costs}
    each = {side: sum(costs[side]) / number[side] for side in costs}
    found = suggested(tmp_path)
    advice = "gpt-4o-mini instead of gpt-4o for configuration"
    assert found[advice] == pytest.approx(number[True] * (each[True] - each[False]))
    assert not any("instead" in other for other in found if other != advice)


def _of_stage(attribution: Attribution, dear: set[str]) -> str:
    return "gpt-4o" if attribution.stage == "configuration" and attribution.run_id in dear else "gpt-4o-mini"


def test_items_made_again_though_one_worked(tmp_path) -> None:
    """The later half of the month makes the requirements of the earlier one again."""
    made = month.make(600, seed=5, runs=12)
    items = [replace(one, key=one.item_id, verdict="working") for one in made.items]
    month.record(replace(made, items=items), str(tmp_path))
    first = {run.run_id for run in made.runs[:1]}
    again = [row for row in journals.calls(tmp_path) if row["run_id"] not in first and row["cost"] is not None]
    found = suggested(tmp_path)["Keep the files of finished workflows"]
    assert found == sum(row["cost"] for row in again)


def test_a_clock_set_back_makes_no_item_again(tmp_path) -> None:
    """An item that seems to end before it began is not its own repetition."""
    made = month.make(200, seed=5, runs=2)
    items = [replace(one, ended_at=one.started_at - timedelta(hours=1), verdict="working") for one in made.items]
    month.record(replace(made, items=items), str(tmp_path))
    assert "Keep the files of finished workflows" not in suggested(tmp_path)


def test_one_run_reads_much_more_from_the_providers_cache(tmp_path) -> None:
    made = month.make(400, seed=5, runs=4)
    best = made.runs[2].run_id
    runs = {(one.call_id, one.attempt): one.attribution.run_id for one in made.starts}
    ends = [replace(one, cache_hit=False, response_model=None, usage=_cached(one, runs, best)) for one in made.ends]
    starts = [replace(one, request_model="gpt-4o") for one in made.starts]
    month.record(replace(made, starts=starts, ends=ends), str(tmp_path))
    rest = [row for row in journals.calls(tmp_path) if row["run_id"] != best and row.get("input_tokens")]
    found = suggested(tmp_path)
    rates = rates_of(Prices(), "openai", "gpt-4o", END)
    for stage in ("requirements", "architecture", "configuration"):
        tokens = sum(row["input_tokens"] for row in rest if row["stage"] == stage)
        saved = tokens * Decimal("0.5") * (rates.input - rates.cache_read)
        advice = f"More of gpt-4o's input from its provider's cache in {stage}"
        assert float(found[advice]) == pytest.approx(float(saved), rel=0.01)


def _cached(end: CallEnd, runs: dict[tuple[str, int], str], best: str) -> Usage | None:
    """Half of the input of the best run."""
    if end.usage is None:
        return None
    half = end.usage.input_tokens // 2 if runs[end.call_id, end.attempt] == best else 0
    return replace(end.usage, cache_read_input_tokens=half)
