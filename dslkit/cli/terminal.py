"""How the command line speaks: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import typer

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from rich.console import Console

_WIDE = 10_000  # where the output is no terminal
_NARROW = 110
_LONG = 24  # columns that a long text has at least
_SHORT = 8
_GAP = 2  # between two columns
_UNPRINTABLE = {code: "�" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def plain(value: object) -> str:
    """Text as it may be shown: what a model wrote must not steer the terminal."""
    text = format(value, "f") if isinstance(value, Decimal) else "" if value is None else str(value)  # never 9E-7
    return text.translate(_UNPRINTABLE)


def say(message: object) -> None:
    """A remark for the person at the terminal."""
    typer.echo(plain(message), err=True)


def complain(error: Exception) -> None:
    """What went wrong, in one message; a server's own words may hold a key, which is left out."""
    say(f"dslkit: {without_secrets(str(error))}")


def without_secrets(text: str) -> str:
    """The text without keys, whether of this environment or by their form."""
    from dslkit.ledger.redact import redact
    from dslkit.notebooks import secrets

    return secrets.without_secrets(redact(text), os.environ)


def put(text: object) -> None:
    """A result."""
    typer.echo(plain(text))


def put_json(value: object) -> None:
    """A result for another program."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=_as_json))


def _as_json(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)


def put_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, less: Sequence[str] = ()) -> None:
    """A table; numbers to the right.  Nothing is cut off where the output is no terminal.

    In a terminal that is too narrow, the columns named in ``less`` are left out, the first first, until it fits.
    """
    from rich.table import Table
    from rich.text import Text

    screen = console()
    texts = [[plain(cell) for cell in row] for row in rows]
    shown = _fitting(columns, texts, less, screen.width)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index in shown:
        numeric = any(_is_number(row[index]) for row in texts)
        table.add_column(columns[index], justify="right" if numeric else "left", overflow="fold")
    for row in texts:
        table.add_row(*(Text(row[index], style=_STYLES.get(row[index], "")) for index in shown))
    screen.print(table)


def _fitting(columns: Sequence[str], texts: Sequence[Sequence[str]], less: Sequence[str], width: int) -> list[int]:
    """The columns shown, by their places; a long one may be folded, so it need not have all the room it would like."""
    from rich.cells import cell_len

    wanted = {
        index: min(_LONG, max(map(cell_len, (name, *(row[index] for row in texts)))))
        for index, name in enumerate(columns)
    }
    for name in less:
        if sum(wanted.values()) + _GAP * (len(wanted) - 1) <= width:
            break
        del wanted[columns.index(name)]
    return list(wanted)


def short(run_id: str | None) -> str:
    """An id as it is shown: on a terminal its beginning, which every verb takes for the run."""
    return (run_id or "")[: None if console().width == _WIDE else _SHORT]


def is_narrow() -> bool:
    """Whether the terminal has few columns."""
    return console().width < _NARROW


def console() -> Console:
    """Standard output as rich sees it."""
    from rich.console import Console

    class Screen(Console):
        def on_broken_pipe(self) -> None:
            """As any other output (see ``piping``)."""
            raise BrokenPipeError

    return Screen(highlight=False) if sys.stdout.isatty() else Screen(width=_WIDE, highlight=False)


def usd(cost: Decimal | None) -> str:
    """A price; an unknown one is a question mark, never 0."""
    if cost is None:
        return "?"
    return f"${cost:.2f}" if cost >= 1 or not cost else f"${cost:.6f}".rstrip("0").ljust(5, "0")


_STYLES = {"working": "green", "clean": "cyan", "errors": "red", "failed": "red", "error": "red", "warning": "yellow"}


def _is_number(text: str) -> bool:
    """Whether a text shows a number: ``$0.02``, ``1.5``, ``?``."""
    return text == "?" or text.removeprefix("$").replace(".", "").replace(",", "").removeprefix("-").isdigit()


def write_output(text: str, output: Path | None) -> None:
    """A file as result: into ``output``, whole or not at all, or to standard output.  It is UTF-8 in any locale."""
    if output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    from dslkit.batch.artefact import write_whole

    try:
        write_whole(output, text)
    except OSError as error:
        raise UsageError(f"{output}: cannot be written ({error.strerror}).") from None
    say(f"written to {output}")
