"""``dslkit patterns …``: the knowledge base of workflow patterns."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from dslkit.cli.terminal import put, put_json, put_table, say
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dslkit.knowledge import Knowledge, Match

app = typer.Typer(help="Workflow patterns to learn from: the shipped ones and your own.", no_args_is_help=True)

Text = Annotated[str, typer.Argument(metavar="TEXT", help="What the workflow should do.")]
PatternId = Annotated[str, typer.Argument(metavar="ID", help="A pattern's id, as `dslkit patterns list` shows it.")]


@app.command("list")
def list_all() -> None:
    """List all patterns."""
    put_table(
        ("id", "title", "nodes"),
        [(pattern.id, pattern.title, ", ".join(pattern.node_types)) for pattern in _knowledge().list()],
    )


@app.command()
def search(text: Text, limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most.")] = 5) -> None:
    """Find the patterns nearest in meaning."""
    _put_matches(_knowledge().search(text, limit))


@app.command()
def recommend(text: Text) -> None:
    """Recommend up to three patterns to start from, each with something of its own."""
    _put_matches(_knowledge().recommend(text))


@app.command()
def get(pattern_id: PatternId) -> None:
    """Show one pattern as the file it is."""
    from dslkit.knowledge.patterns import dump

    put(dump(_knowledge().get(pattern_id)))


@app.command()
def add(file: Annotated[Path, typer.Argument(metavar="FILE", help="A pattern file; `get` shows the form.")]) -> None:
    """Add a pattern of your own; one of yours with the same id is replaced."""
    from dslkit.knowledge.patterns import parse

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file}: cannot be read ({error}).") from None
    known, pattern = _knowledge(), parse(text, str(file))
    remark = known.behind(pattern.id)
    say(f"added as {known.add(pattern)}{remark and f'; {remark}'}")


@app.command()
def delete(pattern_id: PatternId) -> None:
    """Delete a pattern of your own."""
    _knowledge().delete(pattern_id)
    say(f"deleted {pattern_id}")


@app.command()
def stats() -> None:
    """Count patterns by tag and node type."""
    put_json(_knowledge().statistics())


def _knowledge() -> Knowledge:
    from dslkit.knowledge import Knowledge
    from dslkit.settings import load_settings

    return Knowledge(load_settings().home)


def _put_matches(matches: Iterable[Match]) -> None:
    put_table(
        ("score", "id", "title"), [(round(match.score, 3), match.pattern.id, match.pattern.title) for match in matches]
    )
