"""What would have been cheaper, where the ledger supports it; and what the provider's cache saved."""

# ruff: noqa: S608 - queries are put together from constants of this file; every value from outside is bound

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
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

FEWEST_ITEMS = 20  # of each model, before one is held against another
WORST_LOSS = -0.10  # a cheaper model is suggested when it surely works at most this much less often
SMALLEST_SHARE = Decimal("0.01")  # of the spend; a saving below is not worth a line


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


def suggestions(facts: Facts) -> list[Suggestion]:
    """Largest saving first; empty when nothing was spent or the ledger supports none."""
    [(spent,)] = facts.ask(f"SELECT coalesce(sum(cost_usd), 0) FROM {facts.cells}").fetchall()
    found = [*_cheaper_models(facts), *_quality_rounds(facts), *_cut_short(facts)]
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
            f"(95 % interval of the difference: {low} to {high} points). The requirements may have differed."
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
