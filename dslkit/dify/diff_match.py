"""Which node of one workflow is which node of another: by id where that can be, else by type, title and content."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from dslkit.dify.graph import Graph, Node

ALIKE: Final = 0.5
MAX_PAIRS: Final = 20_000
MAX_DEPTH: Final = 30
_WORD: Final = re.compile(r"\w+")
_REFERENCE: Final = re.compile(r"\{\{#([^.#{}\s]{1,60})\.")


def matched(old: Graph, new: Graph) -> dict[str, str]:
    """New node id -> old node id, for nodes that are the same node to a reader."""
    pairs: dict[str, str] = {}
    for least in (ALIKE, None):  # alike by id, then alike at all, then at least the same id
        _match_by_id(old, new, pairs, least)
        if least is not None:
            _match_by_likeness(old, new, pairs)
    return pairs


def _match_by_id(old: Graph, new: Graph, pairs: dict[str, str], least: float | None) -> None:
    taken = set(pairs.values())
    for id_, node in new.nodes.items():
        other = old.nodes.get(id_)
        free = other is not None and id_ not in pairs and id_ not in taken and other.type == node.type
        if other is not None and free and (least is None or likeness(other, node) >= least):
            pairs[id_] = id_


def _match_by_likeness(old: Graph, new: Graph, pairs: dict[str, str]) -> None:
    """Greedily, the most alike first; among thousands of candidates only those of equal title are compared."""
    taken = set(pairs.values())
    candidates: dict[str, list[Node]] = defaultdict(list)
    for node in old.nodes.values():
        if node.id not in taken:
            candidates[node.type].append(node)
    scored = []
    for node in new.nodes.values():
        rivals = candidates[node.type] if node.id not in pairs else []
        if len(rivals) * len(new.nodes) > MAX_PAIRS:
            rivals = [rival for rival in rivals if rival.data.get("title") == node.data.get("title")][:10]
        scored += [(likeness(rival, node), rival.id, node.id) for rival in rivals]
    for score, before, after in sorted(scored, reverse=True):
        if score >= ALIKE and before not in taken and after not in pairs:
            pairs[after] = before
            taken.add(before)


def likeness(old: Node, new: Node) -> float:
    """0 to 1: half by title, half by the words of their content; a title and a content both empty are alike."""
    titles = difflib.SequenceMatcher(None, _title(old), _title(new)).ratio()
    before, after = _words(old.data), _words(new.data)
    shared = len(before & after) / len(before | after) if before | after else 1.0
    return (titles + shared) / 2


def _title(node: Node) -> str:
    return str(node.data.get("title") or "")[:80]


def _words(data: Mapping[str, Any]) -> set[str]:
    texts = [str(value) for key, value in data.items() if key not in ("title", "type", "selected", "desc")]
    return set(_WORD.findall(" ".join(texts)[:5_000]))


def renamed(value: Any, names: Mapping[str, str], depth: int = 0) -> Any:
    """A copy in which selectors and ``{{#…#}}`` references use the old ids of matched nodes; bounded in depth."""
    if depth > MAX_DEPTH:
        return value
    if isinstance(value, str):
        return _REFERENCE.sub(lambda found: "{{#" + names.get(found[1], found[1]) + ".", value)
    if isinstance(value, Mapping):
        return {key: renamed(each, names, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        if len(value) > 1 and all(isinstance(each, str) for each in value) and value[0] in names:
            return [names[value[0]], *value[1:]]
        return [renamed(each, names, depth + 1) for each in value]
    return value
