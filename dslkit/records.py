"""Frozen values that cross rooms.  No logic lives here.

Field names follow the OpenTelemetry GenAI conventions with underscores for dots where these have a name
(``gen_ai.usage.cache_read.input_tokens`` is ``cache_read_input_tokens``), and Dify's terms otherwise.
Durations are seconds (float), money is USD (Decimal), instants are timezone-aware UTC datetimes.  ``None`` means
unknown, never zero.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from decimal import Decimal

Severity = Literal["error", "warning", "note"]
UsageSource = Literal["reported", "estimated"]
Outcome = Literal["ok", "error", "cancelled"]
Verdict = Literal["working", "clean", "errors", "failed"]
EngineStatus = Literal["ran", "failed", "not run"]
RunStatus = Literal["running", "completed", "failed", "interrupted"]
Mode = Literal["simple", "rag", "multi_agent"]
AppMode = Literal["workflow", "advanced-chat"]
Complexity = Literal["simple", "moderate", "complex"]
Priority = Literal["interactive", "batch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What a user asks for: one request and any later rounds that change it.

    ``inputs``, ``outputs`` and ``related_nodes`` are for judging the result only; no agent ever sees them.
    ``outputs`` has one tuple of names per end node.
    """

    id: str
    messages: tuple[str, ...]
    inputs: tuple[str, ...] | None = None
    outputs: tuple[tuple[str, ...], ...] | None = None
    related_nodes: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Whose call it is: set around calls, read by the transport, written to the ledger."""

    run_id: str | None = None
    item_id: str | None = None
    stage: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    priority: Priority = "interactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one attempt.  ``input_tokens`` includes cached ones, ``output_tokens`` includes reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    source: UsageSource = "reported"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStart:
    """One attempt, as reserved before its bytes leave.  ``call_id`` is a UUID shared by all attempts of a call.

    ``content`` is the request's body, where contents are to be stored (``store_content``), else None.
    """

    call_id: str
    attempt: int
    attribution: Attribution
    provider_name: str
    operation_name: str
    request_model: str
    estimated_input_tokens: int
    estimated_output_tokens: int
    request_bytes: int
    stream: bool
    throttle_wait_s: float
    started_at: datetime
    service_tier: str | None = None
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnd:
    """What became of an attempt.  ``usage`` is None when nothing is known of it, ``content`` as in CallStart."""

    call_id: str
    attempt: int
    outcome: Outcome
    ended_at: datetime
    latency_s: float
    usage: Usage | None = None
    time_to_first_chunk_s: float | None = None
    http_status: int | None = None
    response_model: str | None = None
    response_id: str | None = None
    finish_reason: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    server_request_id: str | None = None
    cache_hit: bool = False
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The cost of one attempt and where its rates came from.  ``cost_usd`` is None for a model of unknown price."""

    cost_usd: Decimal | None
    source: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of a notebook or batch.  Recorded when it starts and again when it ends (the later one counts)."""

    run_id: str
    started_at: datetime
    status: RunStatus = "running"
    ended_at: datetime | None = None
    notebook: str | None = None
    notebook_sha256: str | None = None
    parameters: Mapping[str, object] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    cells: tuple[Mapping[str, object], ...] = ()
    error_type: str | None = None
    error_message: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing a check has to say about a workflow, worded so that a person or a model can act on it."""

    code: str
    severity: Severity
    message: str
    remedy: str = ""
    node: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repair:
    """One named change made without a model: a forgiveness of form in parsing, or a fix of the document."""

    code: str
    message: str
    node: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRun:
    """What Dify's own engine said of a workflow: one dry run or several, so that every branch is visited."""

    status: EngineStatus
    findings: tuple[Finding, ...] = ()
    outputs: tuple[Mapping[str, object], ...] = ()
    nodes_run: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A workflow held against what its requirement asked for; None where the requirement does not say."""

    inputs_exact: bool | None = None
    outputs_exact: bool | None = None
    related_nodes_held: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One requirement of a batch and what came of it.  Its tokens and cost are its calls' (same run and item id).

    ``key`` identifies the work by content (requirement, model, prompts, versions); ``reused_from`` names the run that
    did it when nothing had to be done again; ``artefact_sha256`` tells whether its file is still the one written then.
    """

    run_id: str
    item_id: str
    key: str
    model: str
    mode: Mode
    verdict: Verdict
    engine: EngineStatus
    started_at: datetime
    ended_at: datetime
    findings: tuple[Finding, ...] = ()
    repairs: tuple[Repair, ...] = ()
    judgement: Judgement = Judgement()
    rounds: int = 0
    artefact: str | None = None
    artefact_sha256: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    reused_from: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
