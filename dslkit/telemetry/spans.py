"""Rows of the ledger as spans: run -> item -> agent -> attempt, by OpenTelemetry's GenAI conventions.

Trace and span ids are hashes of what the ledger calls things, so exporting twice gives the same spans.  Attributes are
named as in the published conventions (https://github.com/open-telemetry/semantic-conventions-genai) where these have a
name, and begin with ``dslkit.`` otherwise.  What a server said of an error is left out: it may repeat a prompt.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_BATCH = "batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One span, complete.  ``done_at`` is when the ledger had it whole; ``error`` is its kind, if it failed."""

    trace_id: int
    span_id: int
    parent_id: int | None
    name: str
    kind: Literal["client", "internal"] = "internal"
    started_at: datetime
    ended_at: datetime
    done_at: datetime
    attributes: Mapping[str, Any]
    error: str | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)


def identity(*names: object, size: int = 8) -> int:
    """A number for these names, the same for ever: 8 bytes for a span, 16 for a trace."""
    text = "\0".join(str(name) for name in names)
    return int.from_bytes(hashlib.blake2b(text.encode(errors="replace"), digest_size=size).digest()) or 1


def run_span(run: Mapping[str, Any]) -> Span:
    """A run, finished."""
    name = _stem(run["notebook"])
    return Span(
        trace_id=identity("run", run["run_id"], size=16),
        span_id=_run_id(run["run_id"]),
        parent_id=None,
        name=f"invoke_workflow {name}",
        started_at=run["started_at"],
        ended_at=run["over_at"],
        done_at=run["done_at"],
        attributes=_known(
            {
                "gen_ai.operation.name": "invoke_workflow",
                "gen_ai.workflow.name": name,
                "gen_ai.agent.name": name,  # as later conventions have it
                "dslkit.run.id": run["run_id"],
                "dslkit.run.status": run["status"],
                "dslkit.run.commit": run["commit"],
                "error.type": _error_of(run),
                **_tags(run),
            }
        ),
        error=_error_of(run),
    )


def item_span(item: Mapping[str, Any]) -> Span:
    """One requirement of a batch, and what came of it."""
    failed = item["error_type"] or ("failed" if item["verdict"] == "failed" else None)
    return Span(
        trace_id=identity("run", item["run_id"], size=16),
        span_id=_item_id(item["run_id"], item["item_id"]),
        parent_id=_run_id(item["run_id"]) if item["of_run"] else None,
        name=f"item {item['item_id']}",
        started_at=item["started_at"],
        ended_at=item["ended_at"],
        done_at=item["done_at"],
        attributes=_known(
            {
                "gen_ai.request.model": item["model"],
                "dslkit.run.id": item["run_id"],
                "dslkit.item.id": item["item_id"],
                "dslkit.item.mode": item["mode"],
                "dslkit.item.verdict": item["verdict"],
                "dslkit.item.engine": item["engine"],
                "dslkit.item.rounds": item["rounds"],
                "dslkit.item.reused_from": item["reused_from"],
                "dslkit.item.findings": [finding["code"] for finding in item["findings"]] or None,
                "error.type": failed,
                **_tags(item),
            }
        ),
        error=failed,
    )


def agent_span(agent: Mapping[str, Any]) -> Span:
    """All calls of one stage for one item: what one agent did for it."""
    run_id, item_id = agent["run_id"], agent["item_id"]
    parent = _item_id(run_id, item_id) if agent["of_item"] else _run_id(run_id)
    return Span(
        trace_id=identity("run", run_id, size=16),
        span_id=_agent_id(run_id, item_id, agent["stage"]),
        parent_id=parent,
        name=f"invoke_agent {agent['stage']}",
        started_at=agent["started_at"],
        ended_at=agent["ended_at"],
        done_at=agent["done_at"],
        attributes=_known(
            {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": agent["stage"],
                "gen_ai.provider.name": agent["provider_name"],
                "gen_ai.request.model": agent["request_model"],
                "dslkit.run.id": run_id,
                "dslkit.item.id": item_id,
                "dslkit.attempts": agent["attempts"],
            }
        ),
    )


def attempt_span(call: Mapping[str, Any]) -> Span:
    """One attempt of a call; a call whose process died is an error of type ``unknown_outcome``."""
    failed = _failure(call)
    ended = call["ended_at"] or call["started_at"]
    return Span(
        trace_id=identity(*(("run", call["run_id"]) if call["run_id"] else ("call", call["call_id"])), size=16),
        span_id=identity("attempt", call["call_id"], call["attempt"]),
        parent_id=_parent_of(call),
        name=f"{call['operation_name']} {call['request_model']}",
        kind="client",
        started_at=call["started_at"] or ended,
        ended_at=ended,
        done_at=call["done_at"],
        attributes=_known(_of_the_conventions(call, failed) | _of_ours(call) | _contents(call)),
        error=failed,
        measures={} if call["cache_hit"] else {name: call[name] for name in _MEASURED},
    )


_MEASURED = ("latency_s", "input_tokens", "output_tokens")


def _of_the_conventions(call: Mapping[str, Any], failed: str | None) -> dict[str, Any]:
    reason = call["finish_reason"]
    return {
        "gen_ai.operation.name": call["operation_name"],
        "gen_ai.provider.name": call["provider_name"],
        "gen_ai.request.model": call["request_model"],
        "gen_ai.request.stream": call["stream"] or None,
        "gen_ai.response.model": call["response_model"],
        "gen_ai.response.id": call["response_id"],
        "gen_ai.response.finish_reasons": [reason] if reason else None,
        "gen_ai.response.time_to_first_chunk": call["time_to_first_chunk_s"],
        "gen_ai.usage.input_tokens": call["input_tokens"],
        "gen_ai.usage.output_tokens": call["output_tokens"],
        "gen_ai.usage.cache_read.input_tokens": call["cache_read_input_tokens"],
        "gen_ai.usage.cache_creation.input_tokens": call["cache_creation_input_tokens"],
        "gen_ai.usage.reasoning.output_tokens": call["reasoning_output_tokens"],
        "openai.request.service_tier": call["service_tier"],
        "http.response.status_code": call["http_status"],
        "error.type": failed,
    }


def _of_ours(call: Mapping[str, Any]) -> dict[str, Any]:
    cost = call["cost_usd"]
    return {
        "dslkit.call.id": call["call_id"],
        "dslkit.attempt": call["attempt"],
        "dslkit.run.id": call["run_id"],
        "dslkit.item.id": call["item_id"],
        "dslkit.stage": call["stage"],
        "dslkit.outcome": call["outcome"],
        "dslkit.cost_usd": None if cost is None else float(cost),
        "dslkit.usage_source": call["usage_source"],
        "dslkit.throttle_wait_s": call["throttle_wait_s"],
        "dslkit.cache_hit": call["cache_hit"] or None,
        **_tags(call),
    }


def _contents(call: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked and answered, where it was stored and is wanted; of streamed answers only the question."""
    asked, answered = _json(call.get("request")), _json(call.get("response"))
    choices = [one for one in answered.get("choices") or () if isinstance(one, dict)]
    messages = [one for one in asked.get("messages") or () if isinstance(one, dict)]
    told = [_message(one.get("message") or {}) | {"finish_reason": one.get("finish_reason")} for one in choices]
    return {
        "gen_ai.input.messages": _text([_message(one) for one in messages]),
        "gen_ai.output.messages": _text(told),
    }


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {"role": message.get("role"), "parts": [{"type": "text", "content": message.get("content")}]}


def _text(messages: list[dict[str, Any]]) -> str | None:
    return json.dumps(messages, ensure_ascii=False) if messages else None


def _json(body: str | None) -> dict[str, Any]:
    try:
        value = json.loads(body or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _parent_of(call: Mapping[str, Any]) -> int | None:
    if not call["of_run"]:
        return None  # its caller named a run that nobody recorded
    if call["stage"]:
        return _agent_id(call["run_id"], call["item_id"], call["stage"])
    return _item_id(call["run_id"], call["item_id"]) if call["item_id"] else _run_id(call["run_id"])


def _failure(call: Mapping[str, Any]) -> str | None:
    if call["outcome"] == "ok":
        return None
    if call["outcome"] == "unknown":
        return "unknown_outcome"
    return str(call["error_type"] or call["http_status"] or call["outcome"])


def _error_of(run: Mapping[str, Any]) -> str | None:
    return None if run["status"] == "completed" else str(run["error_type"] or run["status"])


def _run_id(run_id: str) -> int:
    return identity("run", run_id)


def _item_id(run_id: str, item_id: str) -> int:
    return identity("item", run_id, item_id)


def _agent_id(run_id: str, item_id: str | None, stage: str) -> int:
    return identity("agent", run_id, item_id or "", stage)


def _stem(notebook: str | None) -> str:
    return notebook.replace("\\", "/").rpartition("/")[2].removesuffix(".ipynb") if notebook else _BATCH


def _tags(row: Mapping[str, Any]) -> dict[str, str]:
    return {f"dslkit.tag.{name}": value for name, value in row["tags"].items()}


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
