"""Records as lines of a journal: JSON objects whose keys are the column names of the views.

``k`` says what a line is: ``head`` of a segment, ``start`` and ``end`` of an attempt, ``run``, ``item``, ``mark``.
The end of an attempt repeats its start, so that it stands alone; the start is there for attempts that never ended.
DuckDB reads these lines with typed columns and passes over what does not fit, so nothing that does not fit may be
written: numbers are kept in range, text is valid Unicode.
"""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from dslkit.ledger import schema
from dslkit.ledger.redact import redact_body, redact_label, redact_values, short_message

if TYPE_CHECKING:
    from dslkit.ledger.journal import Carried
    from dslkit.records import CallEnd, CallStart, Item, Price, Run

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_BIGGEST = 2**63 - 1
_DEAREST = 10**9  # DECIMAL(18, 9)
_LONGEST_CONTENT = 1_000_000  # characters; with all of them escaped, two fit in the longest line
_LONGEST = 1e9  # seconds; up to here a double is exact to the microsecond
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def line(kind: str, body: bytes) -> bytes:
    """One line of a journal."""
    return b'{"k":"%b",%b}\n' % (kind.encode(), body)


def body(values: Mapping[str, Any]) -> bytes:
    """The inside of a JSON object, without what is None."""
    known = {name: value for name, value in values.items() if value is not None}
    try:
        return orjson.dumps(known)[1:-1]
    except TypeError:  # what JSON cannot say; lone surrogates, which no reader takes, become question marks
        return _encode(_plain(known))[1:-1].encode(errors="replace")


def _plain(value: object) -> Any:
    """Anything as JSON: what JSON cannot say becomes text, or None for a number that is none."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat()
    return value if value is None or isinstance(value, (str, bool, int)) else str(value)


def call_key(call_id: str) -> str:
    """The call id as a UUID; any other text is mapped to one, always the same."""
    if _UUID.fullmatch(call_id):
        return call_id
    return str(uuid.uuid5(uuid.NAMESPACE_OID, call_id.encode(errors="replace").decode()))


def head(segment: str, carried: Carried, *, host: str, pid: int, at: datetime) -> bytes:
    """The first line of a segment; ``carried`` names the open calls that moved here from the segment before."""
    values = {"segment": segment, "schema": schema.VERSION, "host": host, "pid": pid, "recorded_at": instant(at)}
    return line("head", body({**values, "carried": [list(key) for key in carried.keys]}))


def start_body(start: CallStart, *, host: str, pid: int) -> bytes:
    """Everything known before an attempt's bytes leave."""
    attribution = start.attribution
    return body(
        {
            "call_id": call_key(start.call_id),
            "attempt": start.attempt,
            "run_id": attribution.run_id,
            "item_id": attribution.item_id,
            "stage": attribution.stage,
            "tags": _tags(attribution.tags),
            "provider_name": start.provider_name,
            "operation_name": start.operation_name,
            "request_model": start.request_model,
            "estimated_input_tokens": _count(start.estimated_input_tokens),
            "estimated_output_tokens": _count(start.estimated_output_tokens),
            "request_bytes": _count(start.request_bytes),
            "stream": start.stream,
            "throttle_wait_s": _seconds(start.throttle_wait_s),
            "started_at": instant(start.started_at),
            "service_tier": start.service_tier,
            "host": host,
            "pid": pid,
        }
    )


def end_body(end: CallEnd, price: Price) -> bytes:
    """What became of an attempt, and what it was booked at."""
    return body(
        {
            "outcome": end.outcome,
            "ended_at": instant(end.ended_at),
            "latency_s": _seconds(end.latency_s),
            "time_to_first_chunk_s": _seconds(end.time_to_first_chunk_s),
            "http_status": _count(end.http_status),
            # What a server says may repeat the key it was given.
            "response_model": _label(end.response_model),
            "response_id": _label(end.response_id),
            "finish_reason": _label(end.finish_reason),
            "error_type": end.error_type,
            "error_message": short_message(end.error_message),
            "server_request_id": _label(end.server_request_id),
            "cache_hit": end.cache_hit or None,
            **_usage(end),
            **_price(price),
        }
    )


def _label(text: str | None) -> str | None:
    return None if text is None else redact_label(text)


def orphan_body(end: CallEnd, *, host: str, pid: int) -> bytes:
    """The start of an attempt that was never reserved here, as far as its end tells."""
    return body({"call_id": call_key(end.call_id), "attempt": end.attempt, "host": host, "pid": pid})


def run_line(run: Run, *, host: str, pid: int, at: datetime) -> bytes:
    """A run as it is now; the latest line of a run counts."""
    values = asdict(run)
    values["error_message"] = short_message(run.error_message)
    values["parameters"] = _free_json(run.parameters)
    values["cells"] = _free_json(run.cells)
    return line("run", body({**_record(values), "host": host, "pid": pid, "recorded_at": instant(at)}))


def item_line(item: Item, *, at: datetime) -> bytes:
    """An item of a batch; the latest line of an item in a run counts."""
    values = asdict(item)
    values |= values.pop("judgement")
    values["error_message"] = short_message(item.error_message)
    values["findings"] = redact_values(values["findings"])
    return line("item", body({**_record(values), "recorded_at": instant(at)}))


def mark_line(name: str, *, at: datetime) -> bytes:
    """A point in time to count from."""
    return line("mark", body({"name": name, "recorded_at": instant(at)}))


def price_line(call_id: str, attempt: int, price: Price, *, at: datetime) -> bytes:
    """Another price for an attempt, after prices changed."""
    return line("price", body({"call_id": call_id, "attempt": attempt, **_price(price), "recorded_at": instant(at)}))


def content_line(start: CallStart, end: CallEnd, *, at: datetime) -> bytes:
    """What was asked and answered, without keys."""
    values = {
        "call_id": call_key(end.call_id),
        "attempt": end.attempt,
        "started_at": instant(start.started_at),
        "request": _content(start.content),
        "response": _content(end.content),
        "recorded_at": instant(at),
    }
    return line("content", body(values))


def _content(content: bytes | None) -> str | None:
    if content is None:
        return None
    text = redact_body(content)
    return text if len(text) <= _LONGEST_CONTENT else f"{text[:_LONGEST_CONTENT]}…"


def _record(values: dict[str, Any]) -> dict[str, Any]:
    values["tags"] = _tags(values["tags"])
    return {name: instant(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _free_json(value: object) -> str | None:
    """Parameters and cells have no fixed columns: JSON in a text.  A key passed by mistake is not kept."""
    return _encode(redact_values(_plain(value))) if value else None


def _usage(end: CallEnd) -> dict[str, Any]:
    usage = end.usage
    if usage is None:
        return {}
    return {
        "input_tokens": _count(usage.input_tokens),
        "output_tokens": _count(usage.output_tokens),
        "cache_read_input_tokens": _count(usage.cache_read_input_tokens),
        "cache_creation_input_tokens": _count(usage.cache_creation_input_tokens),
        "reasoning_output_tokens": _count(usage.reasoning_output_tokens),
        "usage_source": usage.source,
    }


def _price(price: Price) -> dict[str, Any]:
    cost = price.cost_usd
    fits = cost is not None and cost.is_finite() and abs(cost) < _DEAREST
    return {
        "cost_usd": f"{cost:f}" if fits else None,  # as text: JSON numbers would pass through binary floats
        "price_source": price.source,
        "price_version": price.version,
    }


def _tags(tags: Mapping[str, str]) -> dict[str, str] | None:
    return {str(name): redact_label(str(value)) for name, value in tags.items()} if tags else None


def _count(value: object) -> int | None:
    """A count as the ledger can hold it; what a server sends for one may be anything."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) <= _BIGGEST else None


def _seconds(value: float | None) -> float | None:
    """To the microsecond; without the zero that is negative, which integers do not know."""
    return round(value, 6) + 0.0 if value is not None and abs(value) < _LONGEST else None


def instant(value: datetime) -> datetime:
    """An instant in UTC; one without a zone is taken to be UTC already."""
    if value.tzinfo is UTC:
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
