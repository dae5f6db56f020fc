"""The columns of the ledger's tables: names, DuckDB types, and what they mean."""

from __future__ import annotations

from typing import Final

Columns = dict[str, str]

VERSION: Final = 2  # of segments, parts and manifest
LONGEST_LINE: Final = 16 * 1024 * 1024  # bytes; DuckDB's own default

CALLS: Final[Columns] = {
    "call_id": "UUID",
    "attempt": "INTEGER",
    "run_id": "VARCHAR",
    "item_id": "VARCHAR",
    "stage": "VARCHAR",
    "tags": "MAP(VARCHAR, VARCHAR)",
    "provider_name": "VARCHAR",
    "operation_name": "VARCHAR",
    "request_model": "VARCHAR",
    "response_model": "VARCHAR",
    "response_id": "VARCHAR",
    "input_tokens": "BIGINT",
    "cache_read_input_tokens": "BIGINT",
    "cache_creation_input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "reasoning_output_tokens": "BIGINT",
    "usage_source": "VARCHAR",
    "cost_usd": "DECIMAL(18, 9)",
    "price_source": "VARCHAR",
    "price_version": "VARCHAR",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "latency_s": "DOUBLE",
    "time_to_first_chunk_s": "DOUBLE",
    "throttle_wait_s": "DOUBLE",
    "request_bytes": "BIGINT",
    "stream": "BOOLEAN",
    "cache_hit": "BOOLEAN",
    "service_tier": "VARCHAR",
    "outcome": "VARCHAR",
    "http_status": "INTEGER",
    "finish_reason": "VARCHAR",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    "server_request_id": "VARCHAR",
    "estimated_input_tokens": "BIGINT",
    "estimated_output_tokens": "BIGINT",
    "host": "VARCHAR",
    "pid": "BIGINT",
}

RUNS: Final[Columns] = {
    "run_id": "VARCHAR",
    "status": "VARCHAR",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "notebook": "VARCHAR",
    "notebook_sha256": "VARCHAR",
    "parameters": "VARCHAR",
    "commit": "VARCHAR",
    "dirty": "BOOLEAN",
    "cells": "VARCHAR",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    "tags": "MAP(VARCHAR, VARCHAR)",
    "host": "VARCHAR",
    "pid": "BIGINT",
}

_FINDINGS = "STRUCT(code VARCHAR, severity VARCHAR, message VARCHAR, remedy VARCHAR, node VARCHAR, path VARCHAR)[]"
_REPAIRS = "STRUCT(code VARCHAR, message VARCHAR, node VARCHAR)[]"

ITEMS: Final[Columns] = {
    "run_id": "VARCHAR",
    "item_id": "VARCHAR",
    "key": "VARCHAR",
    "model": "VARCHAR",
    "mode": "VARCHAR",
    "verdict": "VARCHAR",
    "engine": "VARCHAR",
    "started_at": "TIMESTAMPTZ",
    "ended_at": "TIMESTAMPTZ",
    "findings": _FINDINGS,
    "repairs": _REPAIRS,
    "inputs_exact": "BOOLEAN",
    "outputs_exact": "BOOLEAN",
    "related_nodes_held": "BOOLEAN",
    "rounds": "INTEGER",
    "artefact": "VARCHAR",
    "artefact_sha256": "VARCHAR",
    "error_type": "VARCHAR",
    "error_message": "VARCHAR",
    "reused_from": "VARCHAR",
    "tags": "MAP(VARCHAR, VARCHAR)",
}

MARKS: Final[Columns] = {"name": "VARCHAR"}

# A call priced again when prices changed.
PRICES: Final[Columns] = {
    name: CALLS[name] for name in ("call_id", "attempt", "cost_usd", "price_source", "price_version")
}

# What was asked and answered, where that is to be kept.
CONTENTS: Final[Columns] = {
    **{name: CALLS[name] for name in ("call_id", "attempt", "started_at")},
    "request": "VARCHAR",
    "response": "VARCHAR",
}

# What a part of each kind holds.  All but calls may be written again: the latest record counts.
_RECORDED = {"recorded_at": "TIMESTAMPTZ"}
RECORDS: Final[dict[str, Columns]] = {
    "calls": CALLS,
    "runs": {**RUNS, **_RECORDED},
    "items": {**ITEMS, **_RECORDED},
    "marks": {**MARKS, **_RECORDED},
    "prices": {**PRICES, **_RECORDED},
    "contents": {**CONTENTS, **_RECORDED},
}
PARTS: Final[dict[str, Columns]] = {kind: {**columns, "segment": "VARCHAR"} for kind, columns in RECORDS.items()}

# The instant that says which month a record belongs to.
INSTANTS: Final[dict[str, str]] = {
    "calls": "coalesce(started_at, ended_at)",
    "runs": "started_at",
    "items": "started_at",
    "marks": "recorded_at",
    "prices": "recorded_at",
    "contents": "coalesce(started_at, recorded_at)",
}

# What one line of a journal may hold.
LINES: Final[Columns] = {
    "k": "VARCHAR",
    "segment": "VARCHAR",
    **_RECORDED,
    **CALLS,
    **RUNS,
    **ITEMS,
    **MARKS,
    **CONTENTS,
}


def quoted(name: str) -> str:
    """A column's name as SQL takes it anywhere."""
    return f'"{name}"'


def text(value: str) -> str:
    """A string constant of SQL."""
    return "'" + value.replace("'", "''") + "'"


def select_list(columns: Columns) -> str:
    """The columns by name, in order."""
    return ", ".join(quoted(name) for name in columns)


def empty(columns: Columns) -> str:
    """A query with these columns and no row."""
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items())
    return f"SELECT {nulls} WHERE false"


def from_lines(path: str, *, filename: bool = False) -> str:
    """Read a file of lines, or all that a pattern matches, passing over torn and zero-filled lines."""
    columns = ", ".join(f"{quoted(name)}: {text(kind)}" for name, kind in LINES.items())
    return (
        f"read_json({text(path)}, format = 'newline_delimited', ignore_errors = true, filename = {filename}, "
        f"maximum_object_size = {LONGEST_LINE}, columns = {{{columns}}})"
    )
