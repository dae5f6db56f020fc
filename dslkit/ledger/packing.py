"""How the parts of each schema version hold the columns of a table.

A version changes how rows are held, never what they say: a row of a part reads the same in all versions, so that a part
that was written again in the present form must come out with the checksum it had.  Readers understand every version
there was; compaction writes parts of earlier ones again.
"""

# ruff: noqa: S608 - the queries are put together from constants and quoted file names

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dslkit.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Packed:
    """A column as parts hold it: SQL for each column of the file, by name, and SQL that makes the value of these.

    A column of the file that no longer is the value has another name: who held old views open must not misread it.
    """

    columns: dict[str, str]
    value: str


def _seconds(name: str) -> Packed:
    """Microseconds, as integers: 2.9 bytes where a double of the same digits takes 7."""
    return Packed({name: f"{name}::DECIMAL(18, 6)"}, f"{name}::DOUBLE")


def _identity(name: str) -> Packed:
    """What all ids of a server begin with (``chatcmpl-``) apart from the rest, which saves 2.8 bytes of some 18."""
    prefix = f"regexp_extract({name}, '^[A-Za-z]{{1,16}}[-_]')"
    columns = {f"{name}_prefix": prefix, f"{name}_rest": f"substr({name}, length({prefix}) + 1)"}
    return Packed(columns, f"{name}_prefix || {name}_rest")


# What each version packed; version 1 nothing.
_STEPS: Final[dict[int, dict[str, dict[str, Packed]]]] = {
    1: {},
    2: {
        "calls": {
            **{name: _seconds(name) for name in ("latency_s", "time_to_first_chunk_s", "throttle_wait_s")},
            **{name: _identity(name) for name in ("response_id", "server_request_id")},
        }
    },
}


def _form(kind: str, version: int) -> dict[str, Packed]:
    """All columns of a kind of part, as a version holds them."""
    plain = {name: Packed({name: schema.quoted(name)}, schema.quoted(name)) for name in schema.PARTS[kind]}
    for step in range(1, version + 1):
        plain |= _STEPS[step].get(kind, {})
    return plain


def packed(kind: str, query: str, *, order: str = "") -> str:
    """SQL for the rows of a query as a part of the present version holds them."""
    form = _form(kind, schema.VERSION).values()
    columns = ", ".join(f"{sql} AS {schema.quoted(name)}" for one in form for name, sql in one.columns.items())
    return f"SELECT {columns} FROM ({query}) {order}"


def unpacked(kind: str, files: Iterable[Path], version: int = schema.VERSION) -> str:
    """SQL for the rows that parts of one version hold."""
    columns = ", ".join(f"{one.value} AS {schema.quoted(name)}" for name, one in _form(kind, version).items())
    return f"SELECT {columns} FROM read_parquet([{', '.join(schema.text(str(file)) for file in files)}])"
