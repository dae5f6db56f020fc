"""Budgets stop before sending, count what is under way, hold for all processes, and outlive a lost file."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from dslkit.connect import acomplete_many, async_openai_client
from dslkit.errors import BudgetError
from dslkit.ledger import Ledger
from dslkit.llm import attributed
from dslkit.llm.budget import Budget
from dslkit.llm.limits import UNLIMITED
from dslkit.llm.retry import RetryPolicy
from dslkit.records import Usage
from dslkit.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.llm.budget import Reservation
    from tests.llm.conftest import FakeServer

pytestmark = pytest.mark.anyio
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CENT = Usage(input_tokens=100, output_tokens=0)


def price_of(_provider: str, model: str, usage: Usage, _moment: datetime, _tier: str | None) -> Decimal | None:
    """A hundredth of a cent for each token."""
    tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
    return Decimal(tokens) / 10_000 if model != "mystery" else None


def new_budget(path: Path, **limits: Any) -> Budget:
    return Budget(path / "budget.json", price_of=price_of, **limits)


def reserve(budget: Budget, *, run: str | None = "r", moment: datetime = NOON, model: str = "m") -> Reservation:
    return budget.reserve("p", model, CENT, moment=moment, run_id=run)


@pytest.mark.parametrize("limit", ["0", "-1", "NaN", "Infinity"])
def test_budgets_that_cannot_be(tmp_path: Path, limit: str) -> None:
    with pytest.raises(ValueError, match="above 0"):
        new_budget(tmp_path, per_day_usd=Decimal(limit))


def test_what_is_under_way_counts(tmp_path: Path) -> None:
    budget = new_budget(tmp_path, per_day_usd=Decimal("0.03"))
    held = [reserve(budget) for _ in range(3)]
    with pytest.raises(BudgetError, match=r"0\.03 USD budgeted for this day 0\.030000 are spent or under way"):
        reserve(budget)
    budget.settle(held[0], "p", "m", Usage(input_tokens=10, output_tokens=5), moment=NOON, tier=None)
    budget.cancel(held[1], moment=NOON)
    assert budget.spent(moment=NOON, run_id="r") == (Decimal("0.0115"), Decimal("0.0115"))
    reserve(budget)
    with pytest.raises(BudgetError):
        reserve(budget)


def test_runs_and_days_are_apart(tmp_path: Path) -> None:
    budget = new_budget(tmp_path, per_run_usd=Decimal("0.01"), per_day_usd=Decimal("0.02"))
    reserve(budget, run="a")
    with pytest.raises(BudgetError, match="this run"):
        reserve(budget, run="a")
    reserve(budget, run="b")
    with pytest.raises(BudgetError, match="this day"):
        reserve(budget, run="c")
    reserve(budget, run="c", moment=NOON + timedelta(days=1))


def test_a_day_is_a_utc_day(tmp_path: Path) -> None:
    budget = new_budget(tmp_path, per_day_usd=Decimal("0.01"))
    reserve(budget, moment=datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC))
    reserve(budget, moment=datetime(2026, 3, 2, 0, 0, 1, tzinfo=UTC))


def test_an_unknown_price_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BudgetError, match="DSLKIT_PRICES"):
        reserve(new_budget(tmp_path, per_day_usd=Decimal(1)), model="mystery")


def test_several_hold_the_same_budget(tmp_path: Path) -> None:
    one, two = (new_budget(tmp_path, per_day_usd=Decimal("0.02")) for _ in range(2))
    reserve(one)
    reserve(two, run=None)
    with pytest.raises(BudgetError):
        reserve(one)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"days": 3}', b"\xff"])
def test_a_lost_file_is_rebuilt(tmp_path: Path, damage: bytes) -> None:
    asked: list[tuple[date, str | None]] = []

    def before(day: date, run_id: str | None) -> tuple[Decimal, Decimal]:
        asked.append((day, run_id))
        return Decimal("0.015"), Decimal("0.005")

    (tmp_path / "budget.json").write_bytes(damage)
    budget = new_budget(tmp_path, per_day_usd=Decimal("0.03"), spent_before=before)
    reserve(budget)
    with pytest.raises(BudgetError):
        reserve(budget)
    assert asked == [(NOON.date(), "r")]
    assert json.loads((tmp_path / "budget.json").read_text())["days"] == {"2026-03-01": 25_000_000}


def request(number: int) -> dict[str, Any]:
    message = {"role": "user", "content": f"[rid:{number}]" + " the" * 100}
    return {"model": "gpt-4o-mini", "messages": [message], "max_tokens": 100}


@pytest.mark.shared
async def test_over_http_with_the_ledger(server: FakeServer, tmp_path: Path) -> None:
    """Two clients, faults, fifty calls at once: what was spent stays under the budget, by the ledger's own prices."""
    server.reset(lat_median=0.02, p500=0.2)
    settings = Settings(
        home=tmp_path, openai_api_key="k", openai_base_url=server.url, budget_per_run_usd=Decimal("0.0005")
    )
    options: Any = {"settings": settings, "limits": UNLIMITED, "retry": RetryPolicy(backoff_s=0.01)}
    with attributed(run_id="r1"):
        async with async_openai_client(**options) as one, async_openai_client(**options) as two:
            calls = [client.chat.completions.create(**request(number)) for number in range(25) for client in (one, two)]
            results = await asyncio.gather(*calls, return_exceptions=True)
    refused = [result for result in results if isinstance(result, BudgetError)]
    ledger = Ledger(tmp_path)
    ledger.recorder().flush()
    spent, rows = ledger.sql("SELECT sum(cost_usd), count(*) FROM calls").fetchall()[0]
    assert refused
    assert len(results) - len(refused) > 3
    assert Decimal("0.0002") < spent <= Decimal("0.0005")
    assert server.stats()["received"] == rows
    (tmp_path / "throttle" / "budget.json").unlink()
    async with async_openai_client(**options) as three:
        with attributed(run_id="r1"):
            left = [
                await asyncio.gather(three.chat.completions.create(**request(99)), return_exceptions=True)
                for _ in range(20)
            ]
    assert any(isinstance(result[0], BudgetError) for result in left)
    ledger.recorder().flush()
    (spent,) = ledger.sql("SELECT sum(cost_usd) FROM calls").fetchall()[0]
    assert spent <= Decimal("0.0005")


async def test_a_spent_budget_stops_a_batch(server: FakeServer, tmp_path: Path) -> None:
    """An endless source: what fits is answered, then the budget is named as the reason, not the account."""
    server.reset()
    settings = Settings(
        home=tmp_path, openai_api_key="k", openai_base_url=server.url, budget_per_run_usd=Decimal("0.0005")
    )
    many = acomplete_many(((number, request(number)) for number in count()), settings=settings, limits=UNLIMITED)
    answered, refused = 0, 0
    with attributed(run_id="r1"), pytest.raises(BudgetError, match="budgeted for this run"):  # noqa: PT012 - it ends so
        async for done in many:
            answered += done.error is None
            refused += isinstance(done.error, BudgetError)
    assert answered > 3
    assert 1 <= refused <= 64
    assert server.stats()["received"] == answered


def test_a_clock_set_back_frees_nothing(tmp_path: Path) -> None:
    """Set back over midnight and right again: what was spent today is still spent."""
    budget = new_budget(tmp_path, per_day_usd=Decimal("0.03"))
    for _ in range(3):
        reserve(budget)
    reserve(budget, moment=NOON - timedelta(days=1))
    with pytest.raises(BudgetError):
        reserve(budget)
