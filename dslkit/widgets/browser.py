"""A browser of the workflow patterns: type to search, pick one, see its picture."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import ipywidgets as w
from markupsafe import Markup

from dslkit.knowledge import Knowledge
from dslkit.settings import load_settings
from dslkit.widgets import markup, patterns
from dslkit.widgets.still import LiveBox

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.knowledge import Pattern

FOUND = 10


class PatternBrowser(LiveBox):
    """Search above, titles below it, then the picked one: ``pattern``, for use in the next cell."""

    what = "A browser of patterns"

    def __init__(self, knowledge: Knowledge) -> None:
        self.pattern: Pattern | None = None
        self._knowledge = knowledge
        self._all = knowledge.list()
        self._tasks: set[asyncio.Task[None]] = set()
        self._query = w.Text(placeholder="What should the workflow do? Enter searches", layout={"width": "auto"})
        self._query.continuous_update = False
        self._titles = w.Select(rows=8, layout={"width": "auto"})
        self._picked = w.HTML(layout={"width": "auto"})
        self._titles.observe(self._picking, "value")
        self._query.observe(self._searching, "value")
        self._list([(each, None) for each in self._all])
        super().__init__([self._query, self._titles, self._picked])
        self.add_class("dslkit-patterns")

    def still(self) -> Markup:
        """The list of patterns."""
        return patterns.table(self._all).html

    async def search(self, text: str) -> None:
        """List the patterns nearest to the text; all of them when it is empty."""
        if not text.strip():
            self._list([(each, None) for each in self._all])
            return
        matches = await asyncio.to_thread(self._knowledge.search, text, FOUND)
        self._list([(match.pattern, match.score) for match in matches])

    def _searching(self, change: Mapping[str, Any]) -> None:
        task = asyncio.ensure_future(self._try(change["new"]))
        self._tasks.add(task)  # the event loop alone would let it be collected
        task.add_done_callback(self._tasks.discard)

    async def _try(self, text: str) -> None:
        try:
            await self.search(text)
        except Exception as error:  # noqa: BLE001 - whatever it was, the browser says it
            self._picked.value = markup.framed(markup.notice(f"{type(error).__name__}: {error}", "bad"))

    def _list(self, found: list[tuple[Pattern, float | None]]) -> None:
        self._titles.options = [
            (each.title if score is None else f"{score:.2f}  {each.title}", each.id) for each, score in found
        ]
        self._titles.value = found[0][0].id if found else None

    def _picking(self, change: Mapping[str, Any]) -> None:
        self.pattern = self._knowledge.get(change["new"]) if change["new"] else None
        nothing = markup.notice("Nothing is near enough. Try other words.")
        self._picked.value = markup.framed(self._shown(self.pattern) if self.pattern else nothing)

    def _shown(self, pattern: Pattern) -> Markup:
        tags = ", ".join((*pattern.node_types, *pattern.tags))
        return patterns.drawn(pattern) + Markup('<p class="quiet">{}</p>').format(tags)


def pattern_browser() -> PatternBrowser:
    """The browser over the patterns that ship and the user's own (in DSLKIT_HOME)."""
    return PatternBrowser(Knowledge(load_settings().home))
