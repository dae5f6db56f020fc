"""A forecast for requirements that are to be made, or as it would have been for a run that was."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dslkit.analysis.forecast import Asked, Forecast, Speed, forecast
from dslkit.analysis.history import SAMPLE, past_items
from dslkit.analysis.rates import rates_of
from dslkit.batch.first_request import first_requests, frame_of, later_frames
from dslkit.batch.recipe import Recipe, work_of
from dslkit.batch.resume import Earlier, key_of, patterns_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from dslkit.analysis.history import PastItem
    from dslkit.ledger import Ledger
    from dslkit.pricing import Prices
    from dslkit.records import Mode, Requirement


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is left to do of a file, and what that will take; None when all of it is done."""

    items: int
    done: int
    forecast: Forecast | None


def estimate(
    requirements: Sequence[Requirement], recipe: Recipe, ledger: Ledger, home: Path, *,
    prices: Prices, speed: Speed, at: datetime,
) -> Estimate:  # fmt: skip
    """Of a batch with a recipe.  Items that an earlier run finished cost nothing, if their files are still there."""
    patterns = patterns_of(recipe, home)
    finished = Earlier.of(ledger, "none").items
    left = [one for one in requirements if work_of(key_of(one, recipe, patterns)) not in finished]
    done = len(requirements) - len(left)
    if not left:
        return Estimate(items=len(requirements), done=done, forecast=None)
    sample = sorted(left, key=lambda one: hashlib.md5(one.id.encode(), usedforsecurity=False).hexdigest())[:SAMPLE]
    asked = Asked(
        model=recipe.model,
        mode=recipe.mode,
        items=len(left),
        sizes=first_requests(sample, recipe, home),
        tasks=tuple(one.tags.get("task") for one in sample),
        frame=frame_of(recipe),
        later=later_frames(recipe),
    )
    history = past_items(ledger.snapshot())
    return Estimate(items=len(requirements), done=done, forecast=_forecast(history, asked, prices, speed, at))


def in_hindsight(history: Sequence[PastItem], made: Sequence[PastItem], prices: Prices) -> Forecast:
    """Of items of one run, model and mode, by what the ledger held when that run began."""
    first = made[0]
    asked = Asked(
        model=first.model,
        mode=first.mode,
        items=first.made,
        sizes=tuple(one.first_bytes for one in made),
        tasks=tuple(one.task for one in made),
        frame=_frame(first.model, first.mode),
        later=_later(first.model, first.mode),
    )
    before = [one for one in history if one.ended_at <= first.run_began]
    return _forecast(before, asked, prices, None, first.run_began)


def _forecast(history: Sequence[PastItem], asked: Asked, prices: Prices, speed: Speed | None, at: datetime) -> Forecast:
    provider = next((one.provider for one in reversed(history) if one.model == asked.model), "")
    return forecast(history, asked, rates=rates_of(prices, provider, asked.model, at), speed=speed)


@cache
def _frame(model: str, mode: Mode) -> int:
    return frame_of(Recipe(model=model, mode=mode))


@cache
def _later(model: str, mode: Mode) -> int:
    return later_frames(Recipe(model=model, mode=mode))
