"""Runs by the names that people type, and which of them made something rather than told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dslkit.analysis.scope import scope_of
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from dslkit.analysis.scope import Views

# A condition in SQL over ``runs``: the run only told of others.
TELLS = "coalesce(parse_filename(notebook) IN ('cost_report.ipynb', 'compare_runs.ipynb'), false)"
_MOST_TOLD = 4
# Runs first: a ledger may hold calls of a run without a row, but to look through all calls takes longer.
_PLACES = ("runs", "calls")
_MEANT = """
  SELECT DISTINCT run_id FROM {place} WHERE starts_with(run_id, $text)
  ORDER BY run_id <> $text, run_id LIMIT {most}
"""


def run_named(views: Views, text: str) -> str:
    """The id of the run that is meant by its id, or by a beginning that no other run's id has.

    Raises:
        UsageError: there is no such run, or several.
    """
    text = text.strip()
    for place in _PLACES if text else ():
        query = _MEANT.format(place=place, most=_MOST_TOLD)
        found = [str(row[0]) for row in views.execute(query, {"text": text}).fetchall()]
        if found and (len(found) == 1 or found[0] == text):
            return found[0]
        if found:
            raise UsageError(f"{text!r} is the beginning of several run ids: {', '.join(found)}. Write more of it.")
    raise UsageError(f"There is no run {text!r} in this ledger: `dslkit runs` lists those there are.")


def side_named(views: Views, text: str) -> str:
    """One side of a comparison, checked: a period as it is, a run by its whole id.  Empty stands for everything.

    Raises:
        UsageError: it is neither.
    """
    if not text.strip() or ".." in text:
        scope_of(text)
        return text
    return run_named(views, text)
