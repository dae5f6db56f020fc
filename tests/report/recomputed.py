"""The tables of a report as they must read, each number computed from journal lines in plain Python.

Of the package only the formats of numbers are used, and the prices of single calls.  A cell is its text; a second,
smaller line follows a bar: ``gpt-4o|+ 3 attempts of unknown price``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import floor, log10
from typing import TYPE_CHECKING, Any

import journals

from dslkit.pricing import Prices
from dslkit.records import Usage
from dslkit.report import formats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from journals import Row

Cells = list[list[str]]

UNKNOWN = "–"
VERDICTS = {"failed": "✕ failed", "errors": "✕ errors", "clean": "○ clean", "working": "✓ working"}
TIMINGS = {
    "latency_s": ("Latency of answered calls", "call"),
    "time_to_first_chunk_s": ("Time to first chunk of streamed calls", "call"),
    "throttle_wait_s": ("Wait for the throttle", "attempt"),
}


def key_of(row: Row) -> tuple[str, str]:
    """Whose a call or an item is."""
    return row["run_id"], row["item_id"]


def known_cost(rows: Iterable[Row]) -> Decimal:
    return sum((row["cost"] for row in rows if row["cost"] is not None), Decimal(0))


def cost_of(rows: Iterable[Row]) -> Decimal | None:
    """None when no part of it is known."""
    known = [row["cost"] for row in rows if row["cost"] is not None]
    return sum(known, Decimal(0)) if known else None


def seconds_of(item: Row) -> float:
    return (datetime.fromisoformat(item["ended_at"]) - datetime.fromisoformat(item["started_at"])).total_seconds()


def detailed(text: str, detail: str) -> str:
    return f"{text}|{detail}" if detail else text


def breakdown(calls: Sequence[Row], key: Callable[[Row], Iterable[str]]) -> tuple[Cells, str]:
    """Rows and the rest of one dimension, dearest first."""
    groups = {name: journals.sums(rows) for name, rows in journals.grouped(calls, key).items()}
    ranked = sorted(groups.items(), key=lambda one: (-one[1]["cost_usd"], -one[1]["attempts"], one[0]))
    total = sum(found["cost_usd"] for _, found in ranked)
    decimals = formats.usd_decimals(ranked[0][1]["cost_usd"])
    shown, rest = (ranked, []) if len(ranked) <= 13 else (ranked[:12], ranked[12:])
    cells = []
    for name, found in shown:
        missing = found["unpriced"]
        priced = found["cost_usd"] or not missing
        cells.append([
            detailed(name, f"+ {formats.plural(missing, 'attempt')} of unknown price" if missing else ""),
            formats.usd(found["cost_usd"], decimals) if priced else UNKNOWN,
            formats.share(found["cost_usd"], total) if priced else UNKNOWN,
            *(formats.count(found[of]) for of in ("calls", "input_tokens", "output_tokens")),
        ])  # fmt: skip
    calls_left = formats.plural(sum(found["calls"] for _, found in rest), "call")
    left = f"{formats.usd(sum((found['cost_usd'] for _, found in rest), Decimal(0)))}, {calls_left}."
    return cells, f"{len(rest)}: {left}" if rest else ""


def spend_by_day(calls: Sequence[Row]) -> Cells:
    """The numbers behind the first chart: one column for each model that cost something, dearest first."""
    totals = {name: known_cost(rows) for name, rows in journals.grouped(calls, lambda r: [r["request_model"]]).items()}
    names = sorted((name for name in totals if totals[name]), key=lambda name: (-totals[name], name))
    days = journals.grouped(calls, lambda row: [f"{row['at']:%Y-%m-%d}"])
    cells = []
    for day in sorted(days):
        costs = [known_cost(row for row in days[day] if row["request_model"] == name) for name in names]
        if any(costs):
            at = datetime.fromisoformat(day).replace(tzinfo=UTC)
            cells.append([formats.day(at), *map(formats.usd, costs), formats.usd(sum(costs))])
    return cells


def tokens_by_kind(calls: Sequence[Row]) -> Cells:
    found = journals.sums(calls)
    both = found["input_tokens"] + found["output_tokens"]
    parts = {
        "Input, read anew": found["input_tokens"] - found["cached_tokens"],
        "Input, from the provider's cache": found["cached_tokens"],
        "Output, reasoning": found["reasoning_tokens"],
        "Output, answer": found["output_tokens"] - found["reasoning_tokens"],
    }
    rows = [
        [name, formats.count(number), formats.share(number, both), formats.count(number / found["answered"])]
        for name, number in parts.items()
        if number
    ]
    return [*rows, ["All", formats.count(both), "", formats.count(both / found["answered"])]]


def saved_by_the_provider(calls: Sequence[Row]) -> Decimal:
    """Each call that read from the provider's cache priced again as if it had not."""
    prices, total = Prices(), Decimal(0)
    for row in calls:
        if row["cost"] and row.get("cache_read_input_tokens"):
            total += again(prices, row, row["request_model"], row["at"], cached=0) - row["cost"]
    return total


def saved_here(calls: Sequence[Row]) -> Decimal:
    """Answers from this machine's cache at what others of their model and stage cost on average."""
    total = Decimal(0)
    for rows in journals.grouped(calls, lambda row: [(row["request_model"], row["stage"])]).values():
        hits = sum(row.get("cache_hit", False) for row in rows)
        paid = sum(row["outcome"] == "ok" for row in rows) - hits
        if hits and paid and not any(map(journals.unpriced, rows)):
            total += known_cost(rows) * hits / paid
    return total


def again(prices: Prices, row: Row, model: str, at: datetime, *, cached: int | None = None, tier: str | None = None):
    """What a call would cost on a model at a time; None when no price is known."""
    read = row.get("cache_read_input_tokens", 0) if cached is None else cached
    usage = Usage(
        input_tokens=row["input_tokens"],
        output_tokens=row["output_tokens"],
        reasoning_output_tokens=row.get("reasoning_output_tokens") or 0,
        cache_read_input_tokens=read,
    )
    return prices.price(usage, provider=row["provider_name"], model=model, date=at, tier=tier).cost_usd


def otherwise(calls: Sequence[Row], at: datetime) -> tuple[Cells, int]:
    """At list price, in batches and with half of the input cached; and how many attempts have no price."""
    prices = Prices()
    used = [row for row in calls if not row.get("cache_hit") and (row.get("input_tokens") or 0) > 0]
    priced = [row for row in used if again(prices, row, row["request_model"], at) is not None]
    recorded = known_cost(priced)
    totals = {name: known_cost(rows) for name, rows in journals.grouped(priced, lambda r: [r["request_model"]]).items()}
    choices: list[tuple[str, str | None]] = [("each on its own model", None)]
    choices += [(f"all on {name}", name) for name in sorted(totals, key=lambda name: -totals[name])]
    cells = []
    for said, name in choices:
        list_price, batch, half = Decimal(0), Decimal(0), Decimal(0)
        for row in priced:
            model = name or row["request_model"]
            list_price += again(prices, row, model, at)
            batch += again(prices, row, model, at, tier="batch")
            below = row["input_tokens"] // 2
            either = (below, row["input_tokens"] - below)
            half += sum(again(prices, row, model, at, cached=read) for read in either) / 2
        cells.append([said, *(compared(cost, recorded) for cost in (list_price, batch, half))])
    return [*cells, ["As recorded", formats.usd(recorded), "", ""]], len(used) - len(priced)


def compared(cost: Decimal, recorded: Decimal) -> str:
    percent = float(cost / recorded - 1) * 100
    return detailed(formats.usd(cost), f"{formats.signed(percent)} %" if abs(percent) >= 0.05 else "")


def items(all_items: Sequence[Row], calls: Sequence[Row], limit: int) -> tuple[Cells, str]:
    """Items that need a look first, then the dearest; and what is not listed."""
    spent = journals.grouped((row for row in calls if row["item_id"]), lambda row: [key_of(row)])
    order = list(VERDICTS)
    ranked = sorted(all_items, key=lambda row: row["item_id"])
    ranked.sort(key=lambda row: row["run_id"], reverse=True)
    ranked.sort(key=lambda row: (cost_of(spent[key_of(row)]) is None, -(cost_of(spent[key_of(row)]) or 0)))
    ranked.sort(key=lambda row: order.index(row["verdict"]))
    shown = ranked[:limit]
    decimals = formats.usd_decimals(max(cost_of(spent[key_of(row)]) or Decimal(0) for row in shown))
    left = Counter(row["verdict"] for row in ranked[limit:])
    words = [f"{left[kind]:,} {'with errors' if kind == 'errors' else kind}" for kind in order if left[kind]]
    return [item(row, spent[key_of(row)], decimals) for row in shown], ", ".join(words)


def item(row: Row, own: Sequence[Row], decimals: int) -> list[str]:
    severities = Counter(finding["severity"] for finding in row.get("findings", ()))
    found = ", ".join(formats.plural(severities[kind], kind) for kind in ("error", "warning") if severities[kind])
    unpriced, cost = any(map(journals.unpriced, own)), cost_of(own)
    dollars = UNKNOWN if unpriced and not cost else f"{'≥ ' if unpriced else ''}{formats.usd(cost, decimals)}"
    message = row.get("error_message")
    return [
        f"{row['item_id']}|{row['model']} · {row['run_id']}",
        detailed(VERDICTS[row["verdict"]], "not run" if row["verdict"] == "clean" else ""),
        detailed(message, found) if message else found or "none",
        formats.count(row.get("rounds", 0)),
        formats.count(journals.total(own, "input_tokens") + journals.total(own, "output_tokens")),
        dollars,
        formats.plain_seconds(seconds_of(row)),
    ]


def quantiles(name: str, values: list[float]) -> list[str]:
    parts = [journals.percentile(values, part) for part in (0.5, 0.95, 0.99)]
    return [name, formats.count(len(values)), *map(formats.plain_seconds, (*parts, values[-1]))]


def percentiles(calls: Sequence[Row]) -> Cells:
    return [quantiles(title, journals.timed(calls, name)) for name, (title, _) in TIMINGS.items()]


def latency_by_model(calls: Sequence[Row]) -> Cells:
    groups = journals.grouped(calls, lambda row: [row["request_model"]])
    rows = [(name, journals.timed(own, "latency_s")) for name, own in groups.items()]
    return [quantiles(name, values) for name, values in sorted(rows, key=lambda one: (-len(one[1]), one[0]))]


def histogram(calls: Sequence[Row], timing: str) -> Cells:
    values = journals.timed(calls, timing)
    bins = Counter(floor(log10(value) * 12) for value in values if value >= 0.001)
    rows = [[formats.plain_seconds(10 ** (k / 12)), formats.plain_seconds(10 ** ((k + 1) / 12)), formats.count(bins[k])]
            for k in sorted(bins)]  # fmt: skip
    none = sum(value < 0.001 for value in values)
    return [["0", "0.001", formats.count(none)], *rows] if none else rows


def busiest(calls: Sequence[Row]) -> tuple[list[str], dict[str, dict[str, Counter[datetime]]]]:
    """Models, the dearest first, then the most asked, and of each its requests and tokens by clock minute."""
    sent = [row for row in calls if not row.get("cache_hit")]
    groups = journals.grouped(sent, lambda row: [row["request_model"]])
    minutes: dict[str, dict[str, Counter[datetime]]] = {}
    for name, rows in groups.items():
        minutes[name] = {"requests": Counter(), "tokens": Counter()}
        for row in rows:
            minute = row["at"].replace(second=0, microsecond=0)
            minutes[name]["requests"][minute] += 1
            minutes[name]["tokens"][minute] += (row.get("input_tokens") or 0) + (row.get("output_tokens") or 0)
    return sorted(groups, key=lambda name: (-known_cost(groups[name]), -len(groups[name]), name)), minutes


def busiest_by_day(calls: Sequence[Row], unit: str) -> Cells:
    names, minutes = busiest(calls)
    days: dict[Any, list[int]] = defaultdict(lambda: [0] * len(names))
    for place, name in enumerate(names):
        for minute, number in minutes[name][unit].items():
            day = days[minute.date()]
            day[place] = max(day[place], number)
    shown = [(datetime(day.year, day.month, day.day, tzinfo=UTC), most) for day, most in sorted(days.items())]
    return [[formats.day(at), *map(formats.count, most)] for at, most in shown if any(most)]


def busiest_by_model(calls: Sequence[Row], allowed: int) -> Cells:
    """Requests against those that the settings allow a minute; tokens have no limit."""
    names, minutes = busiest(calls)
    cells = []
    for name in names:
        own = [row for row in calls if row["request_model"] == name and not row.get("cache_hit")]
        waited = sum(row["throttle_wait_s"] >= 0.001 for row in own)
        requests, tokens = (max(minutes[name][unit].values()) for unit in ("requests", "tokens"))
        against = f"{formats.count(requests)}|{formats.share(requests, allowed)} of {allowed}"
        cells.append([name, against, formats.count(tokens), f"{waited:,}|{formats.share(waited, len(own))}"])
    return cells


def failures(calls: Sequence[Row]) -> tuple[Cells, list[set[str]]]:
    """Rows without their examples, and the messages that may be one of each."""
    answered = {row["call_id"] for row in calls if row["outcome"] == "ok"}
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in calls:
        if row["outcome"] != "ok":
            groups[row.get("http_status"), row.get("error_type"), row["outcome"]].append(row)
    ranked = sorted(groups.items(), key=lambda one: (-len(one[1]), one[0][0] is None, one[0][0] or 0))
    cells, messages = [], []
    for (status, kind, outcome), rows in ranked:
        named = " ".join(str(part) for part in (status, kind) if part is not None)
        words = {"unknown": "outcome unknown (process ended)", "cancelled": "cancelled"}
        recovered = sum(row["call_id"] in answered for row in rows)
        cells.append([words.get(outcome, named), formats.count(len(rows)), formats.share(len(rows), len(calls)),
                      formats.count(recovered)])  # fmt: skip
        messages.append({row.get("error_message") or UNKNOWN for row in rows})
    return cells, messages


def top_calls(calls: Sequence[Row], order: str) -> Cells:
    groups = journals.grouped((row for row in calls if not row.get("cache_hit")), lambda row: [row["call_id"]])
    sizes = {name: {"cost": known_cost(rows), "attempts": len(rows),
                    "latency": sum(row.get("latency_s") or 0 for row in rows)}[order]
             for name, rows in groups.items()}  # fmt: skip
    kept = [name for name in sizes if sizes[name] > (order == "attempts")]
    shown = [groups[name] for name in sorted(kept, key=lambda name: (-sizes[name], name))[:8]]
    decimals = formats.usd_decimals(max(cost_of(rows) or Decimal(0) for rows in shown))
    return [call(rows, decimals) for rows in shown]


def call(rows: Sequence[Row], decimals: int) -> list[str]:
    first, tokens = rows[0], [row for row in rows if row.get("input_tokens") is not None]
    number = journals.total(tokens, "input_tokens") + journals.total(tokens, "output_tokens") if tokens else None
    timed = [row["latency_s"] for row in rows if row.get("latency_s") is not None]
    return [
        f"{formats.minute(min(row['at'] for row in rows))}|{first['stage']} · {first['item_id']}",
        first["request_model"],
        formats.count(number),
        formats.usd(cost_of(rows), decimals),
        formats.plain_seconds(sum(timed) if timed else None),
        formats.plain_seconds(sum(row["throttle_wait_s"] for row in rows)),
        formats.count(len(rows)),
    ]


def taken(all_items: Sequence[Row], calls: Sequence[Row]) -> Cells:
    """What the latest eight runs took, without what was expected of them."""
    spent = journals.grouped((row for row in calls if row["item_id"]), lambda row: [key_of(row)])
    runs = journals.grouped(all_items, lambda row: [row["run_id"]])
    began = {name: min(datetime.fromisoformat(row["started_at"]) for row in rows) for name, rows in runs.items()}
    cells = []
    for name in sorted(runs, key=lambda name: began[name], reverse=True)[:8]:
        own = [row for made in runs[name] for row in spent[key_of(made)]]
        work = 0.0
        for made in runs[name]:
            waited = journals.total(spent[key_of(made)], "throttle_wait_s")
            work += max(seconds_of(made) - waited, 0.001)
        asked = len({row["call_id"] for row in own if not row.get("cache_hit")})
        used = journals.total(own, "input_tokens") + journals.total(own, "output_tokens")
        cost = None if any(map(journals.unpriced, own)) else cost_of(own)
        cells.append([formats.minute(began[name]), formats.count(len(runs[name])), formats.count(asked),
                      formats.compact(used), formats.usd(cost), f"{work / 60:,.1f}"])  # fmt: skip
    return cells


def changes(all_items: Sequence[Row], calls: Sequence[Row], until: datetime, days: int) -> Cells:
    """Measures of the days before and of the last days, and their difference; without intervals."""
    spent = journals.grouped((row for row in calls if row["item_id"]), lambda row: [key_of(row)])
    middle = until - timedelta(days=days)
    spans = ((middle - timedelta(days=days), middle), (middle, until))
    sides = []
    for begin, end in spans:
        made = [row for row in all_items if begin <= datetime.fromisoformat(row["started_at"]) < end]
        own = [spent[key_of(row)] for row in made]
        costs = [float(known_cost(rows)) for rows in own if not any(map(journals.unpriced, rows))]
        sent = [row for row in calls if begin <= row["at"] < end]
        latencies = journals.timed(sent, "latency_s")
        failed = [row["outcome"] in {"error", "cancelled"} for row in sent]
        sides.append([
            [row["verdict"] == "working" for row in made],
            costs,
            [journals.total(rows, "input_tokens") + journals.total(rows, "output_tokens") for rows in own],
            [len({row["call_id"] for row in rows}) for rows in own],
            [seconds_of(row) for row in made],
            latencies, latencies, failed,
        ])  # fmt: skip
    return [measure(name, write, of, a, b) for (name, write, of), a, b in zip(MEASURES, *sides, strict=True)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def plain(value: float) -> str:
    return f"{value:,.1f}" if value < 80 else formats.count(value)


MEASURES: tuple[tuple[str, Callable[[float], str], Callable[[Any], float]], ...] = (
    ("Working items", lambda value: formats.share(value, 1), mean),
    ("Cost of an item", formats.dollars, mean),
    ("Tokens of an item", plain, mean),
    ("Calls of an item", plain, mean),
    ("Seconds of an item", formats.seconds, mean),
    ("Latency, median", formats.seconds, lambda values: journals.percentile(values, 0.5)),
    ("Latency, p95", formats.seconds, lambda values: journals.percentile(values, 0.95)),
    ("Failed attempts", lambda value: formats.share(value, 1), mean),
)


def measure(name: str, write: Callable[[float], str], of: Callable[[Any], float], a: Any, b: Any) -> list[str]:
    first, second = of(a), of(b)
    points = name in {"Working items", "Failed attempts"}
    change = (second - first) * 100 if points else (second / first - 1) * 100
    number = f"{min(len(a), len(b)):,} on the smaller side"
    return [f"{name}|{number}", write(first), write(second),
            f"{formats.signed(change)} {'points' if points else '%'}"]  # fmt: skip
