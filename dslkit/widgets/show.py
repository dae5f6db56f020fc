"""What a run made, cost and took, as a notebook shows it: one function a question, each one query over the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from markupsafe import Markup

from dslkit.ledger import Ledger
from dslkit.report import formats
from dslkit.settings import load_settings
from dslkit.widgets import markup
from dslkit.widgets.markup import Shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dslkit.records import Item

    Runs = str | Iterable[str]

MOST_BARS = 30
MOST_ITEMS = 200  # rows of a table that a browser shows at ease; of more items, those that want attention

# The ids are chosen before: the findings of all items together may be more than memory likes.
_COUNT = "SELECT count(*) AS items FROM items WHERE run_id = $run"
_CHOSEN = """
  SELECT item_id FROM items WHERE run_id = $run AND (verdict IN ('errors', 'failed') OR $all)
  ORDER BY started_at, item_id LIMIT $most
"""
_ITEMS = """
  SELECT item_id, verdict, engine, artefact, seconds, error_findings, warning_findings, rounds, reused_from,
    error_message, coalesce(calls, 0) AS calls, tokens, cost_usd
  FROM items LEFT JOIN (
    SELECT item_id, count(DISTINCT call_id) AS calls, sum(input_tokens + output_tokens)::BIGINT AS tokens,
      sum(cost_usd) AS cost_usd
    FROM calls WHERE run_id = $run AND list_contains($ids, item_id) GROUP BY item_id) USING (item_id)
  WHERE run_id = $run AND list_contains($ids, item_id) ORDER BY started_at, item_id
"""
_SLOWEST = """
  SELECT item_id, verdict, seconds FROM items WHERE run_id = $run ORDER BY seconds DESC, item_id LIMIT $most
"""
_STAGES = """
  SELECT coalesce(stage, '(none)') AS stage, request_model, count(DISTINCT call_id) AS calls,
    count(*) FILTER (outcome <> 'ok') AS errors, count(*) FILTER (cache_hit) AS cached,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens,
    sum(cost_usd) AS cost_usd, sum(throttle_wait_s)::DOUBLE AS waited
  FROM calls WHERE run_id = $run GROUP BY ALL ORDER BY cost_usd DESC NULLS LAST, calls DESC, stage
"""
_MODES = """
  WITH spent AS (
    SELECT item_id, count(DISTINCT call_id) AS calls, sum(input_tokens + output_tokens) AS tokens,
      sum(cost_usd) AS cost_usd, sum(throttle_wait_s) AS waited
    FROM calls WHERE run_id IN (SELECT unnest($runs)) GROUP BY item_id)
  SELECT model, mode, count(*) AS items, count(*) FILTER (verdict = 'working') AS working,
    count(*) FILTER (verdict IN ('errors', 'failed')) AS unfinished,
    count(*) FILTER (coalesce(inputs_exact, true) AND coalesce(outputs_exact, true)
      AND coalesce(inputs_exact, outputs_exact) IS NOT NULL) AS exact,
    count(coalesce(inputs_exact, outputs_exact)) AS judged,
    coalesce(sum(calls), 0) / count(*) AS calls, avg(tokens)::DOUBLE AS tokens,
    CASE WHEN count(cost_usd) = count(*) THEN (sum(cost_usd) / count(*))::DECIMAL(18, 9) END AS cost_usd,
    quantile_cont(seconds, 0.5) AS median_s, quantile_cont(seconds, 0.95) AS p95_s,
    coalesce(sum(waited), 0) / count(*) AS waited_s
  FROM items LEFT JOIN spent USING (item_id)
  WHERE run_id IN (SELECT unnest($runs)) GROUP BY model, mode ORDER BY min(started_at)
"""


class Mode(NamedTuple):
    """The items of one mode in a run; calls, tokens, USD and seconds are those of one item in the mean."""

    model: str
    mode: str
    items: int
    working: int
    unfinished: int
    exact: int
    judged: int
    calls: float
    tokens: float | None
    cost_usd: Decimal | None
    median_s: float
    p95_s: float
    waited_s: float


class Spent(NamedTuple):
    """What calls used: None where it is unknown."""

    calls: int
    tokens: int | None
    cost_usd: Decimal | None

    def __str__(self) -> str:
        tokens = f"{formats.count(self.tokens)} tokens"
        return f"{formats.plural(self.calls, 'call')}, {tokens}, {formats.usd(self.cost_usd)}"


def spent(runs: Runs, item_id: str | None = None, *, home: Path | None = None) -> Spent:
    """Calls, tokens and USD of a run or several, or of one item of it."""
    query = """SELECT count(DISTINCT call_id) AS calls, sum(input_tokens + output_tokens)::BIGINT AS tokens,
      sum(cost_usd) AS cost_usd
      FROM calls WHERE run_id IN (SELECT unnest($runs)) AND (item_id = $item OR $item IS NULL)"""
    row = rows_of(query, {"runs": ids(runs), "item": item_id}, home)[0]
    return Spent(**(row if row["calls"] else row | {"tokens": 0, "cost_usd": Decimal(0)}))


def outcome(item: Item) -> Shown:
    """One item: its verdict, whether Dify's engine ran it, and every finding with its remedy."""
    lines = [f"{finding.severity}: {finding.message}" for finding in item.findings]
    text = "\n".join([f"{item.item_id}: {item.verdict}, {ran(item)}", *lines])
    head = Markup("<p>{} · {}</p>").format(markup.verdict(item.verdict), ran(item))
    return Shown(head + markup.findings(item.findings), text)


def ran(item: Item) -> str:
    """What the engine had to say, in words."""
    return {"ran": "ran on Dify's engine", "failed": "failed on Dify's engine"}.get(item.engine, "not run")


def items(run_id: str, *, home: Path | None = None) -> Shown:
    """The items of a run: verdict, findings, tokens, cost, seconds, and the file of each.

    Of more than MOST_ITEMS those with errors and those that failed.
    """
    count = rows_of(_COUNT, {"run": run_id}, home)[0]["items"]
    chosen = rows_of(_CHOSEN, {"run": run_id, "all": count <= MOST_ITEMS, "most": MOST_ITEMS}, home)
    rows = rows_of(_ITEMS, {"run": run_id, "ids": [row["item_id"] for row in chosen]}, home)
    titles = ("Item", "Verdict", "Engine", "Findings", "Tokens", "Cost", "Seconds", "File")
    numbers = frozenset({"Tokens", "Cost", "Seconds"})
    lines = [
        (
            row["item_id"],
            markup.verdict(row["verdict"]),
            row["engine"],
            _findings(row),
            formats.count(row["tokens"]) if row["calls"] else "reused" if row["reused_from"] else formats.UNKNOWN,
            formats.usd(row["cost_usd"]) if row["calls"] else "$0" if row["reused_from"] else formats.UNKNOWN,
            formats.plain_seconds(row["seconds"]),
            row["artefact"] or formats.UNKNOWN,
        )
        for row in rows
    ]
    text = "\n".join(f"{row['item_id']}: {row['verdict']} ({row['engine']}), {_findings(row)}" for row in rows)
    if count == len(rows):
        return Shown(markup.table(titles, lines, numbers=numbers), text or "No items.")
    shown = markup.table(titles, lines, numbers=numbers) if lines else Markup("")
    query = f"SELECT item_id, verdict, engine FROM items WHERE run_id = '{run_id}'"  # noqa: S608 - to be read
    note = f'{count - len(rows):,} more items are in the ledger: dslkit sql "{query}"'
    return Shown(shown + Markup('<p class="quiet">{}</p>').format(note), f"{text}\n{note}".lstrip())


def by_mode(runs: Runs, *, home: Path | None = None) -> tuple[Mode, ...]:
    """What each mode of a run, or of several, gave, in the order in which they began."""
    return tuple(Mode(**row) for row in rows_of(_MODES, {"runs": ids(runs)}, home))


def modes(runs: Runs, *, home: Path | None = None) -> Shown:
    """The modes of a run, or of several, held against each other: quality, cost and time of one item."""
    words = ("Mode", "Model", "Items", "Working", "Unfinished", "Exact", "Calls", "Tokens", "Cost")
    titles = (*words, "Median s", "95 % in s", "Waited s")
    found = by_mode(runs, home=home)
    lines = [
        (
            each.mode,
            each.model,
            each.items,
            each.working,
            each.unfinished,
            f"{each.exact} of {each.judged}" if each.judged else formats.UNKNOWN,
            f"{each.calls:.1f}",
            formats.count(each.tokens and round(each.tokens)),
            formats.usd(each.cost_usd),
            *(formats.plain_seconds(seconds) for seconds in (each.median_s, each.p95_s, each.waited_s)),
        )
        for each in found
    ]
    text = "\n".join(
        f"{each.mode}: {each.working} of {each.items} working, {formats.usd(each.cost_usd)} and "
        f"{formats.seconds(each.median_s)} an item"
        for each in found
    )
    return Shown(markup.table(titles, lines, numbers=frozenset(titles[2:])), text or "No items.")


def cost(run_id: str, *, home: Path | None = None) -> Shown:
    """What the calls of a run cost, by stage and model."""
    rows = rows_of(_STAGES, {"run": run_id}, home)
    if not rows:
        return Shown(markup.notice("No call was made: everything had been done before."), "No call was made.")
    titles = ("Stage", "Model", "Calls", "Errors", "Cached", "Tokens in", "Tokens out", "Cost", "Waited, s")
    lines = [
        (
            row["stage"],
            row["request_model"],
            *(formats.count(row[name]) for name in ("calls", "errors", "cached", "input_tokens", "output_tokens")),
            formats.usd(row["cost_usd"]),
            formats.plain_seconds(row["waited"]),
        )
        for row in rows
    ]
    text = "\n".join(
        f"{row['stage']}: {formats.plural(row['calls'], 'call')}, {formats.usd(row['cost_usd'])}" for row in rows
    )
    return Shown(markup.table(titles, lines, numbers=frozenset(titles[2:])), text)


def seconds(run_id: str, *, home: Path | None = None) -> Shown:
    """A chart of how long each item took, the slowest first, in the colour of its verdict."""
    rows = rows_of(_SLOWEST, {"run": run_id, "most": MOST_BARS}, home)
    shown = [
        (row["item_id"], row["seconds"], markup.VERDICTS[row["verdict"]][1], formats.seconds(row["seconds"]))
        for row in rows
    ]
    rest = rows_of(_COUNT, {"run": run_id}, home)[0]["items"] - len(rows)
    note = Markup('<p class="quiet">And {} quicker ones.</p>').format(rest) if rest else Markup("")
    text = "\n".join(f"{name}: {took}" for name, _, _, took in shown)
    return Shown(markup.bars(shown, label="seconds of each item") + note, text or "No items.")


def _findings(row: dict[str, Any]) -> str:
    if row["error_message"]:
        return str(row["error_message"])
    counted = (("error", row["error_findings"]), ("warning", row["warning_findings"]))
    return ", ".join(formats.plural(count, noun) for noun, count in counted if count) or "none"


def ids(runs: Runs) -> list[str]:
    """The ids of runs; one may be given alone."""
    return [runs] if isinstance(runs, str) else list(runs)


def rows_of(query: str, values: dict[str, Any], home: Path | None) -> list[dict[str, Any]]:
    """What the ledger answers (that of DSLKIT_HOME when ``home`` is None), by the names of the columns."""
    cursor = Ledger(home or load_settings().home).snapshot().execute(query, values)
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
