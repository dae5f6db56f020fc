"""Figures of a ledger computed again from its journal files in plain Python: no DuckDB, nothing of the package."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Row = dict[str, Any]

UNKNOWN_OUTCOME = "unknown"


def calls(home: Path) -> list[Row]:
    """Every attempt: its end, or its start where no end was written."""
    lines = list(_lines(home))
    ended = [line | {"cost": _money(line)} for line in lines if line["k"] == "end"]
    known = {(row["call_id"], row["attempt"]) for row in ended}
    lost = [
        line | {"outcome": UNKNOWN_OUTCOME, "cost": None}
        for line in lines
        if line["k"] == "start" and (line["call_id"], line["attempt"]) not in known
    ]
    return [row | {"at": datetime.fromisoformat(row["started_at"])} for row in ended + lost]


def items(home: Path) -> list[Row]:
    """Every item."""
    return [line for line in _lines(home) if line["k"] == "item"]


def runs(home: Path) -> list[Row]:
    """Every run, as it was last recorded."""
    return list({line["run_id"]: line for line in _lines(home) if line["k"] == "run"}.values())


def sums(rows: Iterable[Row]) -> Row:
    """The same sums as the report's, by another way."""
    rows = list(rows)
    by_call = defaultdict(list)
    for row in rows:
        by_call[row["call_id"]].append(row["outcome"])
    return {
        "calls": len(by_call),
        "answered": sum("ok" in outcomes for outcomes in by_call.values()),
        "attempts": len(rows),
        "runs": len({row["run_id"] for row in rows if row.get("run_id")}),
        "cached_answers": sum(row.get("cache_hit", False) for row in rows),
        "ok": sum(row["outcome"] == "ok" for row in rows),
        "errors": sum(row["outcome"] == "error" for row in rows),
        "cancelled": sum(row["outcome"] == "cancelled" for row in rows),
        "unknown": sum(row["outcome"] == UNKNOWN_OUTCOME for row in rows),
        "cost_usd": sum((row["cost"] for row in rows if row["cost"] is not None), Decimal(0)),
        "unpriced": sum(unpriced(row) for row in rows),
        "unanswered": sum(_unanswered(row) for row in rows),
        "estimated": sum(row.get("usage_source") == "estimated" for row in rows),
        "input_tokens": total(rows, "input_tokens"),
        "cached_tokens": total(rows, "cache_read_input_tokens"),
        "output_tokens": total(rows, "output_tokens"),
        "reasoning_tokens": total(rows, "reasoning_output_tokens"),
    }


def grouped(rows: Iterable[Row], key: Callable[[Row], Iterable[str | None]]) -> dict[str | None, list[Row]]:
    """Rows under each of their keys."""
    groups: dict[str | None, list[Row]] = defaultdict(list)
    for row in rows:
        for name in key(row):
            groups[name].append(row)
    return groups


def total(rows: Iterable[Row], name: str) -> Any:
    """The sum of what is known."""
    return sum(row[name] for row in rows if row.get(name) is not None)


def unpriced(row: Row) -> bool:
    """Whether tokens were used whose price is not known."""
    used = (row.get("input_tokens") or 0) + (row.get("output_tokens") or 0)
    return row["cost"] is None and (row["outcome"] == "ok" or used > 0)


def timed(rows: Iterable[Row], timing: str) -> list[float]:
    """The sorted values that a distribution is made of."""
    kept = [row for row in rows if not row.get("cache_hit") and row.get(timing) is not None]
    return sorted(row[timing] for row in kept if timing == "throttle_wait_s" or row["outcome"] == "ok")


def percentile(ordered: list[float], part: float) -> float:
    """Linear interpolation between the two nearest ranks."""
    place = part * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _unanswered(row: Row) -> bool:
    used = row.get("input_tokens") is not None or row.get("output_tokens") is not None
    ended = row["outcome"] in {"error", "cancelled"}
    return row["cost"] is None and ended and not used and (row.get("http_status") or 0) < 400


def _money(line: Row) -> Decimal | None:
    return None if line.get("cost_usd") is None else Decimal(str(line["cost_usd"]))


def _lines(home: Path) -> Iterable[Row]:
    for path in sorted((home / "ledger" / "journal").iterdir()):
        if path.suffix in {".jsonl", ".open"}:
            for line in path.read_text(encoding="utf-8").splitlines():
                if line.strip("\0"):  # room that was set aside and not written to
                    yield json.loads(line)
