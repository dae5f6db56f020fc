"""Forecasts: how often their ranges hold what comes, what they learn from, what they say when nothing is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from benchmarks import forecast as benchmark
from dslkit.analysis.forecast import MOST_ITEMS, Asked, Speed, forecast, relevant
from dslkit.analysis.history import MOST_OF_A_RUN, PastItem
from dslkit.analysis.rates import Rates
from dslkit.analysis.regression import Prior, Regression

BEGAN = datetime(2026, 9, 1, tzinfo=UTC)
FRAME = 8000


def past(run: int, number: int, size: int, *, tokens: int = 700, model: str = "gpt-4o-mini", **more) -> PastItem:
    began = BEGAN + timedelta(hours=run)
    known = {
        "run_id": f"run-{run}", "item_id": f"item-{number}", "model": model, "mode": "simple", "task": None,
        "provider": "openai", "started_at": began, "ended_at": began + timedelta(seconds=20), "run_began": began,
        "made": 1, "first_bytes": FRAME + size, "calls": 1, "input_tokens": (FRAME + size) // 4, "cached_tokens": 0,
        "output_tokens": tokens, "seconds": 14.0,
    }  # fmt: skip
    return PastItem(**(known | more))


def asked(*sizes: int, model: str = "gpt-4o-mini", items: int | None = None) -> Asked:
    return Asked(
        model=model,
        mode="simple",
        items=items or len(sizes),
        sizes=tuple(FRAME + size for size in sizes),
        tasks=(None,) * len(sizes),
        frame=FRAME,
    )


def world(seed: int) -> tuple[list[PastItem], Asked, int]:
    """Runs that differ by more than their items: what is known of them, the next one, and what it will take."""
    chance = np.random.default_rng(seed)
    slope, between, within = chance.uniform(0.2, 1), chance.uniform(0.1, 0.5), chance.uniform(0.1, 0.5)
    items: list[PastItem] = []
    for run in range(chance.integers(3, 15)):
        effect = chance.normal(0, between)
        for number in range(chance.integers(2, 12)):
            size = int(chance.lognormal(6.4, 0.5))
            tokens = int(np.exp(6.5 + slope * np.log(size / 600) + effect + chance.normal(0, within)))
            items.append(past(run, number, size, tokens=max(20, tokens)))
    last = items[-1].run_id
    new = [one for one in items if one.run_id == last]
    known = [one for one in items if one.run_id != last]
    sizes = [one.first_bytes - FRAME for one in new]
    return known, asked(*sizes), sum(one.output_tokens for one in new)


def test_a_range_holds_what_comes_about_nine_times_in_ten() -> None:
    worlds = [world(seed) for seed in range(80)]
    ranges = [forecast(known, batch).output_tokens for known, batch, _ in worlds]
    held = [r.low <= fact <= r.high for r, (_, _, fact) in zip(ranges, worlds, strict=True)]
    below = [fact < r.middle for r, (_, _, fact) in zip(ranges, worlds, strict=True)]
    assert 0.82 <= np.mean(held) <= 0.97
    assert 0.35 <= np.mean(below) <= 0.65


def test_more_experience_makes_it_narrower_and_the_fact_stays_inside() -> None:
    chance = np.random.default_rng(5)
    many = [past(run, k, 600, tokens=int(700 * np.exp(chance.normal(0, 0.3)))) for run in range(20) for k in range(10)]
    wide, narrow = (forecast(known, asked(*[600] * 20)).output_tokens for known in ((), many))
    assert narrow.high / narrow.low < 1.4 < wide.high / wide.low
    assert narrow.low < 20 * 700 * np.exp(0.3**2 / 2) < narrow.high


def test_longer_requirements_take_longer_answers() -> None:
    known = [past(k % 6, k, 300 + 40 * k, tokens=300 + 40 * k) for k in range(40)]
    short, long = (forecast(known, asked(*[size] * 5)).output_tokens.middle for size in (400, 1600))
    assert long / short == pytest.approx(4, rel=0.15)


def test_an_empty_ledger_gives_a_prior_and_says_so() -> None:
    found = forecast((), asked(500, 700, 900))
    assert (found.past, found.own, found.runs) == (0, 0, 0)
    assert found.calls.low >= 3
    assert found.output_tokens.low < 2100 < found.output_tokens.high
    assert found.cost_usd is None
    assert found.seconds is None


def test_other_models_count_where_this_one_is_new_and_no_model_teaches_of_none() -> None:
    others = [past(k % 4, k, 600, model="gpt-4o") for k in range(20)]
    offline = [past(9, k, 600, model="offline") for k in range(20)]
    assert {one.model for one in relevant([*others, *offline], asked(600))} == {"gpt-4o"}
    assert {one.model for one in relevant([*others, *offline], asked(600, model="offline"))} == {"offline"}
    own = [past(5, k, 600) for k in range(8)]
    assert relevant([*others, *own], asked(600)) == own[::-1]
    found = forecast(others, asked(600))
    assert (found.past, found.own) == (20, 0)


def test_other_modes_teach_nothing() -> None:
    assert relevant([past(1, k, 600, mode="rag") for k in range(20)], asked(600)) == []


def test_only_the_latest_items_count_and_no_run_alone() -> None:
    known = [past(run, k, 600) for run in range(20) for k in range(100)]
    kept = relevant(known, asked(600))
    assert len(kept) == MOST_ITEMS
    assert max(sum(one.run_id == f"run-{run}" for one in kept) for run in range(20)) == MOST_OF_A_RUN
    assert kept[0].run_id == "run-19"


def test_items_without_an_answer_are_expected_again() -> None:
    known = [past(k % 5, k, 600, tokens=0 if k % 4 == 0 else 700) for k in range(80)]
    found = forecast(known, asked(*[600] * 100))
    assert found.output_tokens.middle == pytest.approx(75 * 700, rel=0.12)


def test_cost_is_tokens_at_their_rates() -> None:
    rates = Rates(
        request=Decimal("0.5"), input=Decimal(2), cache_read=Decimal(1), cache_creation=Decimal(2), output=Decimal(10),
        reasoning=Decimal(10),
    )  # fmt: skip
    known = [past(k % 5, k, 600, cached_tokens=(FRAME + 600) // 8) for k in range(60)]
    found = forecast(known, asked(*[600] * 10), rates=rates)
    expected = 10 * 0.5 + 10 * (FRAME + 600) / 4 * 1.5 + 10 * 700 * 10
    assert found.cost_usd is not None
    assert found.cost_usd.middle == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("speed", "seconds", "bound"),
    [
        (Speed(concurrency=5), 4 * 14, "concurrency"),
        (Speed(concurrency=50), 14, "concurrency"),
        (Speed(concurrency=20, requests=5), 3 * 60 + 14, "requests"),
        (Speed(concurrency=20, requests=5, tokens=100), 60 * (20 * 2850 / 100 - 1), "tokens"),
    ],
)
def test_time_is_set_by_what_is_slowest(speed, seconds, bound) -> None:
    known = [past(k % 8, k, 600) for k in range(80)]
    found = forecast(known, asked(*[600] * 20), speed=speed)
    assert found.bound == bound
    assert found.seconds is not None
    assert found.seconds.middle == pytest.approx(seconds, rel=0.1)


def test_a_sample_stands_for_all() -> None:
    known = [past(k % 8, k, 600) for k in range(80)]
    whole, sample = (
        forecast(known, batch).output_tokens.middle for batch in (asked(*[600] * 400), asked(*[600] * 100, items=400))
    )
    assert sample == pytest.approx(whole, rel=0.05)


def test_rounds_of_a_task_count_as_one_experience() -> None:
    """Six rounds of each task, all with nearly the same surprise: little more is known than of one."""
    chance = np.random.default_rng(2)
    surprise = chance.normal(0, 0.5, 24)
    grouped = [
        past(task % 4, 6 * task + k, 600, tokens=int(700 * np.exp(surprise[task] + noise)), task=f"task-{task}")
        for task in range(24)
        for k, noise in enumerate(chance.normal(0, 0.2, 6))
    ]
    alone = [replace(one, task=None) for one in grouped]
    batch = replace(asked(*[600] * 10), tasks=("new",) * 10)
    wide, narrow = (forecast(known, batch).output_tokens for known in (grouped, alone))
    assert wide.high / wide.low > 1.5 * narrow.high / narrow.low


def test_a_weak_prior_gives_least_squares() -> None:
    chance = np.random.default_rng(0)
    design = np.column_stack([np.ones(200), chance.normal(size=200)])
    target = design @ [1.0, 2.0] + chance.normal(0, 0.5, 200)
    prior = Prior(coefficients=np.zeros(2), variances=np.array([1e6, 1e6]), spread=1.0, rows=0.01)
    drawn = Regression(design, target, prior, [np.ones(2)]).draw(np.array([[1.0, 1.0]]), [], 20_000, chance)
    (intercept, slope), [squares], *_ = np.linalg.lstsq(design, target)
    assert drawn.mean() == pytest.approx(intercept + slope, abs=0.02)
    assert drawn.std() == pytest.approx(np.sqrt(squares / 198), rel=0.05)


@pytest.mark.shared
def test_tasks_left_out_lie_within_their_ranges(shared) -> None:
    found = benchmark.left_out(shared / "data" / "chat2workflow")
    assert len(found) == 140
    assert 0.85 <= sum(case.held for case in found) / len(found) <= 0.97
