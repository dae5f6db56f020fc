"""What would have been cheaper, where the ledger supports it; and what the provider's cache saved."""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import groupby, permutations
from typing import TYPE_CHECKING

from dslkit.analysis import intervals
from dslkit.analysis.rates import rates_of
from dslkit.report import formats
from dslkit.report.markup import render, shorten

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from markupsafe import Markup

    from dslkit.pricing import Prices
    from dslkit.report.facts import Facts

_PAIR = 2
FEWEST_ITEMS = 20  # of each model, before one is held against another
WORST_LOSS = -0.10  # a cheaper model is suggested when it surely works at most this much less often
SMALLEST_SHARE = Decimal("0.01")  # of the spend; a saving below is not worth a line
FEWEST_CALLS = 20  # of a run, before its use of the provider's cache is an example to others
CACHED_MORE = 0.2  # of all input, by which the best run must be ahead

_STAGES = """
  SELECT run, stage, min(model), max(model), sum(cost_usd), sum(unpriced) FROM {cells}
  WHERE run IS NOT NULL AND stage IS NOT NULL AND model IS NOT NULL GROUP BY run, stage ORDER BY run, stage
"""
_MADE = """
  SELECT run_id, count(*), count(*) FILTER (verdict = 'working') FROM {items}
  WHERE reused_from IS NULL GROUP BY run_id ORDER BY run_id
"""
_AGAIN = """
  WITH made AS (FROM {items} WHERE reused_from IS NULL),
  works AS (SELECT key, min(greatest(started_at, ended_at)) AS done FROM made WHERE verdict = 'working' GROUP BY key)
  SELECT count(*), coalesce(sum(cost_usd), 0) FROM made JOIN works USING (key) WHERE started_at > done
"""
_CACHED = """
  SELECT model, stage, run, sum(answered)::BIGINT, sum(input_tokens)::BIGINT, coalesce(sum(cached_tokens), 0)::BIGINT
  FROM {cells} WHERE model IS NOT NULL AND run IS NOT NULL GROUP BY model, stage, run
  HAVING sum(input_tokens) > 0 ORDER BY model, stage, run
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """What to do, what it would have saved in this scope (USD), and how that was computed."""

    advice: str
    saving_usd: Decimal
    grounds: str


@dataclass(frozen=True, slots=True)
class _Model:
    name: str
    items: int
    working: int
    cost_usd: Decimal

    @property
    def each(self) -> Decimal:
        return self.cost_usd / self.items


@dataclass(slots=True)
class _Recipe:
    """Which model each stage had; how many items were so made and work, and what each stage cost."""

    models: dict[str, str]
    items: tuple[int, int] = (0, 0)
    costs: dict[str, Decimal] = field(default_factory=dict)

    def add(self, items: tuple[int, int], costs: dict[str, Decimal]) -> None:
        self.items = self.items[0] + items[0], self.items[1] + items[1]
        for stage, cost in costs.items():
            self.costs[stage] = self.costs.get(stage, Decimal(0)) + cost


@dataclass(frozen=True, slots=True)
class _Cached:
    """Input of one run in one stage, and how much of it the provider read from its cache."""

    run: str
    calls: int
    tokens: int
    cached: int

    @property
    def share(self) -> float:
        return self.cached / self.tokens


def suggestions(facts: Facts, prices: Prices, at: datetime) -> list[Suggestion]:
    """Largest saving first; empty when nothing was spent or the ledger supports none."""
    [(spent,)] = facts.ask(f"SELECT coalesce(sum(cost_usd), 0) FROM {facts.cells}").fetchall()
    found = [
        *_cheaper_models(facts), *_cheaper_stages(facts), *_quality_rounds(facts), *_cut_short(facts),
        *_made_again(facts), *_more_cached(facts, prices, at),
    ]  # fmt: skip
    worthwhile = [one for one in found if one.saving_usd > spent * SMALLEST_SHARE]
    return sorted(worthwhile, key=lambda one: -one.saving_usd)


def section(found: Sequence[Suggestion]) -> Markup:
    """As a list."""
    return render("suggestions", suggestions=[(one.advice, formats.usd(one.saving_usd), one.grounds) for one in found])


def cache_saving(facts: Facts, prices: Prices, at: datetime) -> Decimal:
    """USD that tokens read from the provider's cache would have cost more at the rates of ``at``; known prices only."""
    query = """
      SELECT provider_name, coalesce(response_model, request_model), sum(cache_read_input_tokens)::BIGINT FROM scoped
      WHERE cache_read_input_tokens > 0 AND cost_usd > 0 GROUP BY ALL"""
    total = Decimal(0)
    for provider, model, tokens in facts.ask_calls(query).fetchall():
        rates = rates_of(prices, provider, model, at)
        if rates is not None:
            total += (rates.input - rates.cache_read) * tokens
    return total


def cached_answers_saving(facts: Facts) -> Decimal:
    """USD that answers from this machine's cache would have cost: the mean of others of their model and stage."""
    query = f"""SELECT sum(cached_answers)::BIGINT, (sum(ok) - sum(cached_answers))::BIGINT, sum(cost_usd)
      FROM {facts.cells} GROUP BY model, stage HAVING sum(unpriced) = 0 AND sum(ok) > sum(cached_answers)"""
    return sum((hits * (cost or Decimal(0)) / paid for hits, paid, cost in facts.ask(query).fetchall()), Decimal(0))


def _cheaper_models(facts: Facts) -> Iterator[Suggestion]:
    """For each model the one that would have saved most among those that work about as often."""
    query = f"""SELECT model, count(*), count(*) FILTER (verdict = 'working'), sum(cost_usd) FROM {facts.items}
      WHERE reused_from IS NULL AND calls > 0 AND unpriced = 0 AND cost_usd IS NOT NULL
      GROUP BY model HAVING count(*) >= $fewest AND sum(cost_usd) > 0"""
    models = [_Model(*row) for row in facts.ask(query, fewest=FEWEST_ITEMS).fetchall()]
    for dear in models:
        cheaper = [one for one in models if one.each < dear.each and _difference(dear, one)[0] > WORST_LOSS]
        if cheaper:
            yield _instead(dear, min(cheaper, key=lambda one: one.each))


def _cheaper_stages(facts: Facts) -> Iterator[Suggestion]:
    """Where items were made on different models in one stage alone: the cheaper one, if they work about as often."""
    recipes = _recipes(facts)
    for dear, cheap in permutations(recipes, 2):
        differing = set(dear.models.items()) ^ set(cheap.models.items())
        stages = {stage for stage, _ in differing}
        if len(differing) != _PAIR or len(stages) != 1 or len(dear.models) < _PAIR:
            continue
        [stage] = stages
        one, other = (_Model(recipe.models[stage], *recipe.items, recipe.costs[stage]) for recipe in (dear, cheap))
        if other.each < one.each and _difference(one, other)[0] > WORST_LOSS:
            found = _instead(one, other)
            yield replace(found, advice=f"{found.advice} for {shorten(stage, 40)}")


def _recipes(facts: Facts) -> list[_Recipe]:
    """Runs put together by which model each stage had; those with several in a stage or unknown prices are left out."""
    stages: dict[str, list[tuple[str, str, Decimal]]] = {}
    mixed = set()
    for run, stage, least, most, cost, unpriced in facts.ask(_STAGES.format(cells=facts.cells)).fetchall():
        stages.setdefault(run, []).append((stage, least, cost or Decimal(0)))
        if least != most or unpriced:
            mixed.add(run)
    found: dict[tuple[tuple[str, str], ...], _Recipe] = {}
    for run, made, working in facts.ask(_MADE.format(items=facts.items)).fetchall():
        if run in stages and run not in mixed:
            models = tuple((stage, model) for stage, model, _ in stages[run])
            recipe = found.setdefault(models, _Recipe(dict(models)))
            recipe.add((made, working), {stage: cost for stage, _, cost in stages[run]})
    return [one for one in found.values() if one.items[0] >= FEWEST_ITEMS]


def _difference(dear: _Model, cheap: _Model) -> tuple[float, float]:
    return intervals.share_difference((dear.working, dear.items), (cheap.working, cheap.items))


def _instead(dear: _Model, cheap: _Model) -> Suggestion:
    low, high = (formats.signed(100 * bound) for bound in _difference(dear, cheap))
    works = [formats.share(one.working, one.items) for one in (cheap, dear)]
    return Suggestion(
        advice=f"{shorten(cheap.name, 40)} instead of {shorten(dear.name, 40)}",
        saving_usd=dear.items * (dear.each - cheap.each),
        grounds=(
            f"{formats.plural(dear.items, 'item')} cost {formats.usd(dear.each)} each; the {cheap.items:,} made with "
            f"the cheaper model cost {formats.usd(cheap.each)} each, and {works[0]} of them work, against {works[1]} "
            f"(95\u00a0% interval of the difference: {low} to {high} points). The requirements may have differed."
        ),
    )


def _quality_rounds(facts: Facts) -> Iterator[Suggestion]:
    """Quality rounds on items that did not work in the end."""
    query = f"""
      SELECT count(DISTINCT (run_id, item_id)), coalesce(sum(scoped.cost_usd), 0)
      FROM scoped JOIN {facts.items} AS made USING (run_id, item_id)
      WHERE scoped.stage = 'quality' AND made.verdict IN ('errors', 'failed')"""
    [(lost, cost)] = facts.ask_calls(query).fetchall()
    [(all_rounds,)] = facts.ask(
        f"SELECT count(*) FROM {facts.items} WHERE rounds > 0 AND reused_from IS NULL"
    ).fetchall()
    if lost:
        yield Suggestion(
            advice="Fewer quality rounds",
            saving_usd=cost,
            grounds=(
                f"At most: quality rounds cost this on {formats.plural(lost, 'item')} that had errors or failed all "
                f"the same, of {all_rounds:,} that went through them. Fewer would also lose some repairs."
            ),
        )


def _cut_short(facts: Facts) -> Iterator[Suggestion]:
    """Answers paid for and never received whole."""
    query = "SELECT count(*), coalesce(sum(cost_usd), 0) FROM scoped WHERE outcome <> 'ok' AND cost_usd > 0"
    [(number, cost)] = facts.ask_calls(query).fetchall()
    if number:
        yield Suggestion(
            advice="A longer timeout",
            saving_usd=cost,
            grounds=f"At most: {formats.plural(number, 'attempt')} used tokens but ended before the whole answer came.",
        )


def _made_again(facts: Facts) -> Iterator[Suggestion]:
    """Items paid for though an equal one worked already."""
    [(number, cost)] = facts.ask(_AGAIN.format(items=facts.items)).fetchall()
    if number:
        yield Suggestion(
            advice="Keep the files of finished workflows",
            saving_usd=cost,
            grounds=(
                f"{formats.plural(number, 'item')} were made again, though the same requirement, model, mode and "
                "prompts had given a working one. While its file is there and unchanged, a batch takes it over."
            ),
        )


def _more_cached(facts: Facts, prices: Prices, at: datetime) -> Iterator[Suggestion]:
    """For each model and stage, what all runs would save with as much input from the provider's cache as the best."""
    rows = facts.ask(_CACHED.format(cells=facts.cells)).fetchall()
    for (model, stage), group in groupby(rows, key=lambda row: row[:2]):
        runs = [_Cached(*row[2:]) for row in group]
        best = max((run for run in runs if run.calls >= FEWEST_CALLS), key=lambda run: run.share, default=None)
        rates = rates_of(prices, "", model, at)
        if best is None or rates is None:
            continue
        behind = [run for run in runs if run.share <= best.share - CACHED_MORE]
        more = sum((best.share - run.share) * run.tokens for run in behind)
        if behind:
            yield Suggestion(
                advice=f"More of {shorten(model, 40)}'s input from its provider's cache"
                f"{f' in {shorten(stage, 40)}' if stage else ''}",
                saving_usd=(rates.input - rates.cache_read) * round(more),
                grounds=(
                    f"{formats.share(best.cached, best.tokens)} of it was in run {shorten(best.run, 40)}; "
                    f"{formats.plural(len(behind), 'run')} had much less. The cache reads beginnings that were sent a "
                    "short while before: let calls with the same beginning follow each other."
                ),
            )
