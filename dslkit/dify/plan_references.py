"""References in a plan: ``[variable, node id]``, in text ``{{#node id.variable#}}``, ids quoted or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from dslkit.dify.nodes import PREFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PlanReference = tuple[str, str]  # variable (dots lead into files and objects), node id

_PAIR: Final = 2
MAX_REFERENCE: Final = 200
_TEXT_REFERENCE: Final = re.compile(r"\{\{#([^#{}\n]{1,200})#\}\}")
_QUOTES: Final = "'\"\u2018\u2019\u201c\u201d`"
_PARTS: Final = re.compile(
    r"""\s*(?:(['"\u2018\u2019\u201c\u201d`])(.*?)['"\u2018\u2019\u201c\u201d`]|([^.]+?))\s*(?:\.|\Z)"""
)


@dataclass(frozen=True, slots=True)
class NodeIds:
    """The ids of a plan's nodes: what tells a reference's node from its variable."""

    types: dict[str, str]

    @classmethod
    def of(cls, pairs: Iterable[tuple[str, str]]) -> NodeIds:
        """From pairs of node id and type."""
        return cls(dict(pairs))

    def __contains__(self, id_: object) -> bool:
        return id_ in self.types or id_ in PREFIXES

    def ordered(self, first: str, second: str) -> tuple[PlanReference, bool]:
        """The reference that two words make, and whether they had to be swapped.

        Swapped only where one reading is possible: the second is no node, the first is one.
        """
        head = first.split(".", maxsplit=1)[0]
        if second not in self and first in self:
            return (second, first), True
        if second not in self and head in self and "." in first:
            return (first[len(head) + 1 :], head), True
        return (first, second), False


def split_reference(text: str) -> list[str]:
    """``'3'.text`` -> ``["3", "text"]``: the parts of a dotted path, quotes taken off."""
    parts: list[str] = []
    position = 0
    while position < len(text):
        match = _PARTS.match(text, position)
        if match is None or match.end() == position:
            break
        parts.append(unquoted(match.group(2) if match.group(1) else match.group(3)))
        position = match.end()
    return parts


def text_reference(text: str) -> list[str] | None:
    """The parts of a text that is one reference and nothing else, as ``{{#3.text#}}``; else None."""
    match = _TEXT_REFERENCE.fullmatch(text.strip())
    return split_reference(match.group(1)) if match else None


def plain_text(text: str, ids: NodeIds, swapped: Callable[[], None]) -> str:
    """The text with its references in one form, ``{{#node.variable#}}``; others stay as they are."""
    if "{{#" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        parts = split_reference(match.group(1))
        if len(parts) < _PAIR or not all(parts):
            return match.group()
        if parts[0] not in ids and parts[-1] in ids:
            swapped()
            parts = [parts[-1], *parts[:-1]]
        return "{{#" + ".".join(parts) + "#}}"

    return _TEXT_REFERENCE.sub(plain, text)


def unquoted(text: str) -> str:
    """An id or name without the quotes some replies put inside the string."""
    return text.strip().strip(_QUOTES).strip()
