"""What a batch did, in a table and a line that sums it up."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dslkit.cli.terminal import put, put_table, say, usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from dslkit.ledger import Ledger

MOST_SHOWN = 200  # a longer table is no help on a terminal
_COLUMNS = ("id", "verdict", "engine", "errors", "warnings", "tokens", "cost", "seconds")
_LESS = ("warnings", "errors", "tokens", "engine", "seconds", "cost")  # what a narrow terminal does without
_UNFINISHED = ("errors", "failed")
_OWN_RUN = "SELECT run_id FROM runs WHERE pid = $pid ORDER BY started_at DESC LIMIT 1"
_EXACT = """CASE WHEN coalesce(inputs_exact, outputs_exact) IS NOT NULL
    THEN coalesce(inputs_exact, true) AND coalesce(outputs_exact, true) END"""
_COUNTS = f"""
    SELECT verdict, count(*), count(reused_from), count(*) FILTER ({_EXACT}), count({_EXACT}),
        count(*) FILTER (related_nodes_held), count(related_nodes_held)
    FROM items WHERE run_id = $run GROUP BY verdict ORDER BY count(*) DESC, verdict
"""  # noqa: S608 - our own text
# The runs that made the items; NULL for one that is another now, as after the engine was installed.
_ORIGINS = """
    SELECT DISTINCT CASE WHEN (before.verdict, before.engine) = (now.verdict, now.engine) THEN now.reused_from END
    FROM items now LEFT JOIN items before ON before.run_id = now.reused_from AND before.item_id = now.item_id
    WHERE now.run_id = $run LIMIT 2
"""
_CHOSEN = (
    "SELECT item_id FROM items WHERE run_id = $run AND list_contains($verdicts, verdict) ORDER BY ended_at LIMIT $most"
)
# The ids are chosen before: the findings of all items together may be more than memory likes.
_ITEMS = """
    SELECT item_id, verdict, engine, error_findings, warning_findings, tokens, cost_usd, calls, seconds, reused_from,
        error_message
    FROM items LEFT JOIN (
        SELECT item_id, count(DISTINCT call_id) AS calls, sum(input_tokens + output_tokens)::BIGINT AS tokens,
            sum(cost_usd) AS cost_usd
        FROM calls WHERE run_id = $run AND list_contains($ids, item_id) GROUP BY item_id
    ) USING (item_id)
    WHERE run_id = $run AND list_contains($ids, item_id)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the items of a run came to.

    ``exact`` and ``related`` are pairs: how many held what was expected of names and nodes, and of how many it was
    expected.  ``origins`` are two, at most, of the runs that items were taken from; None is this one.
    """

    verdicts: Mapping[str, int]
    reused: int
    exact: tuple[int, int]
    related: tuple[int, int]
    origins: tuple[str | None, ...]

    @property
    def items(self) -> int:
        """How many there are."""
        return sum(self.verdicts.values())

    @property
    def unfinished(self) -> int:
        """How many have error findings or failed."""
        return sum(self.verdicts.get(verdict, 0) for verdict in _UNFINISHED)

    def __str__(self) -> str:
        parts = [f"{count} {verdict}" for verdict, count in self.verdicts.items()]
        parts += [f"{self.reused} of them reused"] if self.reused else []
        judged = ((self.exact, "exact names"), (self.related, "all related nodes"))
        parts += [f"{held} of {asked} with {words}" for (held, asked), words in judged if asked]
        return f"{self.items:,} item{'s' * (self.items != 1)}: {', '.join(parts) or 'none'}"


def own_run(ledger: Ledger) -> str:
    """The id of the latest run that this process recorded; empty when there is none."""
    found = ledger.snapshot().execute(f"SELECT ({_OWN_RUN})", {"pid": os.getpid()}).fetchone()
    return str(found[0] or "") if found else ""


def verdicts_so_far(ledger: Ledger) -> dict[str, int]:
    """How many items the latest run of this process has, by verdict."""
    query = f"SELECT verdict, count(*) FROM items WHERE run_id = ({_OWN_RUN}) GROUP BY verdict"  # noqa: S608 - our own text
    return dict(ledger.snapshot().execute(query, {"pid": os.getpid()}).fetchall())


def tell_items(ledger: Ledger, run_id: str, order: Iterable[str], *, problem: str = "") -> Outcome:
    """A table in the order given by ids, why each failed item failed, and one line that sums it all up.

    Where there are more than MOST_SHOWN, the table has the unfinished ones alone.  What is the ``problem`` of the whole
    batch is told of that, not of the item that met it as well.
    """
    outcome = _outcome(ledger, run_id)
    verdicts = list(outcome.verdicts) if outcome.items <= MOST_SHOWN else list(_UNFINISHED)
    items = _items(ledger, run_id, verdicts, order)
    if items:
        put_table(_COLUMNS, [_line(item) for item in items], less=_LESS)
    for item in items:
        if item["verdict"] == "failed" and item["error_message"] != problem:
            say(f"{item['item_id']}: {item['error_message']}")
    if outcome.items > len(items):
        query = f"SELECT item_id, verdict, engine, error_findings FROM items WHERE run_id = '{run_id}'"  # noqa: S608 - to be read
        rest = outcome.items - len(items)
        told = f"{rest:,} {'more ' * bool(items)}{'item is' if rest == 1 else 'items are'} not listed"
        say(f'{told}; all are in the ledger: dslkit sql "{query}"')
    spent = ledger.usage(run=run_id)
    put(f"{outcome}; {spent.asked}, {spent.total_tokens:,} tokens, {spent.cost}")
    return outcome


def _outcome(ledger: Ledger, run_id: str) -> Outcome:
    snapshot = ledger.snapshot()
    rows = snapshot.execute(_COUNTS, {"run": run_id}).fetchall()
    reused, exact, named, related, noded = (sum(row[place] for row in rows) for place in range(2, 7))
    return Outcome(
        verdicts={row[0]: row[1] for row in rows},
        reused=reused,
        exact=(exact, named),
        related=(related, noded),
        origins=tuple(row[0] for row in snapshot.execute(_ORIGINS, {"run": run_id}).fetchall()),
    )


def _items(ledger: Ledger, run_id: str, verdicts: Sequence[str], order: Iterable[str]) -> list[dict[str, Any]]:
    """Items with such verdicts, with what their calls used; at most MOST_SHOWN."""
    snapshot = ledger.snapshot()
    chosen = snapshot.execute(_CHOSEN, {"run": run_id, "verdicts": verdicts, "most": MOST_SHOWN}).fetchall()
    ids = {row[0] for row in chosen}
    cursor = snapshot.execute(_ITEMS, {"run": run_id, "ids": list(ids)})
    names = [column[0] for column in cursor.description or ()]
    found = {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
    return [found[item_id] for item_id in order if item_id in ids]


def _line(item: dict[str, Any]) -> tuple[object, ...]:
    """A failed item without calls in the ledger has no known cost; a reused one cost nothing this time."""
    free = not item["calls"] and item["reused_from"]
    return (
        item["item_id"],
        item["verdict"],
        item["engine"],
        item["error_findings"],
        item["warning_findings"],
        0 if free else "?" if item["tokens"] is None else item["tokens"],
        usd(Decimal(0) if free else item["cost_usd"]),
        f"{item['seconds']:.1f}",
    )
