"""Workflow patterns as a notebook shows them: all, the nearest to a request, one with its picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from markupsafe import Markup

from dslkit.dify.workflow import Workflow
from dslkit.widgets import markup
from dslkit.widgets.markup import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.knowledge import Match, Pattern


def table(patterns: Sequence[Pattern]) -> Shown:
    """The patterns: title, what each does, its node types."""
    rows = [
        (
            Markup("<b>{}</b><br><code>{}</code>").format(each.title, each.id),
            each.description,
            ", ".join(each.node_types),
        )
        for each in patterns
    ]
    text = "\n".join(f"{each.id}: {each.title}" for each in patterns)
    return Shown(markup.table(("Pattern", "What it does", "Nodes"), rows), text or "No patterns.")


def chart(matches: Sequence[Match]) -> Shown:
    """How near each match is to what was searched for; cosine similarity, 1 is the same meaning."""
    rows = [(match.pattern.title, max(match.score, 0.0), "", f"{match.score:.2f}") for match in matches]
    text = "\n".join(f"{match.score:.2f} {match.pattern.id}" for match in matches)
    return Shown(markup.bars(rows, label="similarity of each pattern", whole=1.0), text or "Nothing is near.")


def picture(pattern: Pattern) -> Shown:
    """A pattern as a workflow."""
    return Shown(drawn(pattern), f"{pattern.id}: {pattern.title}. {pattern.description}")


def drawn(pattern: Pattern) -> Markup:
    """Its title, description and picture."""
    workflow = Workflow.from_reply(json.dumps(pattern.plan), name=pattern.title, mode=pattern.mode)
    head = Markup("<p><b>{}</b> · {}</p>").format(pattern.title, pattern.description)
    return head + markup.picture(workflow._repr_svg_(), f"Picture of the pattern {pattern.title}")
