"""What a batch did, in a table and a line that sums it up."""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from dslkit.cli.terminal import put, put_table, say, usd

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dslkit.ledger import Ledger
    from dslkit.ledger.queries import UsageTotals

_COLUMNS = ("id", "verdict", "engine", "errors", "warnings", "tokens", "cost", "seconds")
_OWN_RUN = "SELECT run_id FROM runs WHERE pid = $pid ORDER BY started_at DESC LIMIT 1"
_ITEMS = """
    SELECT item_id, verdict, engine, error_findings, warning_findings, tokens, cost_usd, calls, seconds, reused_from,
        error_message, related_nodes_held,
        CASE WHEN coalesce(inputs_exact, outputs_exact) IS NOT NULL
            THEN coalesce(inputs_exact, true) AND coalesce(outputs_exact, true) END AS names_exact
    FROM items LEFT JOIN (
        SELECT item_id, count(DISTINCT call_id) AS calls, sum(input_tokens + output_tokens)::BIGINT AS tokens,
            sum(cost_usd) AS cost_usd
        FROM calls WHERE run_id = $run GROUP BY item_id
    ) USING (item_id)
    WHERE run_id = $run
"""


def own_run(ledger: Ledger) -> str:
    """The id of the latest run that this process recorded; empty when there is none."""
    found = ledger.snapshot().execute(f"SELECT ({_OWN_RUN})", {"pid": os.getpid()}).fetchone()
    return str(found[0] or "") if found else ""


def verdicts_so_far(ledger: Ledger) -> dict[str, int]:
    """How many items the latest run of this process has, by verdict."""
    query = f"SELECT verdict, count(*) FROM items WHERE run_id = ({_OWN_RUN}) GROUP BY verdict"  # noqa: S608 - our own text
    return dict(ledger.snapshot().execute(query, {"pid": os.getpid()}).fetchall())


def items_of(ledger: Ledger, run_id: str, order: Sequence[str]) -> list[dict[str, Any]]:
    """The items of a run, with what their calls used, in the order given by their ids."""
    cursor = ledger.snapshot().execute(_ITEMS, {"run": run_id})
    names = [column[0] for column in cursor.description or ()]
    place = {item_id: number for number, item_id in enumerate(order)}
    items = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return sorted(items, key=lambda item: place.get(item["item_id"], len(place)))


def tell_items(items: Sequence[dict[str, Any]], spent: UsageTotals, *, problem: str = "") -> None:
    """A table, why each failed item failed, and one line that sums it all up.

    What is the ``problem`` of the whole batch is told of that, not of the item that met it as well.
    """
    put_table(_COLUMNS, [_line(item) for item in items])
    for item in items:
        if item["verdict"] == "failed" and item["error_message"] != problem:
            say(f"{item['item_id']}: {item['error_message']}")
    put(
        f"{len(items)} items: {', '.join(_counts(items)) or 'none'}; "
        f"{spent.total_requests} calls, {spent.total_tokens:,} tokens, {spent.cost}"
    )


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


def _counts(items: Sequence[dict[str, Any]]) -> Iterator[str]:
    for verdict, count in Counter(item["verdict"] for item in items).most_common():
        yield f"{count} {verdict}"
    reused = sum(bool(item["reused_from"]) for item in items)
    if reused:
        yield f"{reused} of them reused"
    for column, words in (("names_exact", "exact names"), ("related_nodes_held", "all related nodes")):
        judged = [item[column] for item in items if item[column] is not None]
        if judged:
            yield f"{sum(judged)} of {len(judged)} with {words}"
