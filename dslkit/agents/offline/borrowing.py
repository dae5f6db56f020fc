"""Takes prompts and code from the patterns: the node nearest in wording to what has to be done."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dslkit.agents.offline.words import words_of
from dslkit.knowledge.patterns import Pattern, shipped_patterns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PLAIN_SYSTEM: Final = (
    "You are a careful expert in the field of the task. You do exactly what it says, keep to its limits, and give the"
    " result alone."
)
LEAST_LIKENESS: Final = 0.35  # below, a prompt is about something else more often than not


class _Node(NamedTuple):
    type: str
    param: dict[str, Any]
    words: frozenset[str]


def system_prompt(task: str, patterns: Sequence[Pattern] = ()) -> str:
    """The system prompt of the model node that does the likest work; a plain one when none is like it."""
    for nodes in (_nodes(patterns), _shipped()):
        prompts = [one for one in nodes if one.type == "llm" and "{{#" not in one.param.get("system", "{{#")]
        likeness, found = _nearest(task, prompts)
        if likeness >= LEAST_LIKENESS:
            return str(found["system"])
    return PLAIN_SYSTEM


def code(
    task: str,
    patterns: Sequence[Pattern] = (),
    *,
    gives: Sequence[str] = ("string",),
    takes: int = 1,
    runs: bool = False,
) -> dict[str, Any]:
    """The code node that does the likest work, of those with so many variables and outputs of these types.

    Code that ``runs`` other code is another matter than code that works on texts.
    """
    fitting = [
        one
        for one in (*_nodes(patterns), *_shipped())
        if one.type == "code"
        and len(one.param["variables"]) == takes
        and [kind for _, kind in one.param["outputs"]] == list(gives)
        and ("exec(" in one.param["code"]) == runs
    ]
    return _nearest(task, fitting)[1]


def _nearest(task: str, nodes: Sequence[_Node]) -> tuple[float, dict[str, Any]]:
    wanted = frozenset(words_of(task))
    ranked = [(_likeness(wanted, node.words), -place) for place, node in enumerate(nodes)]
    likeness, place = max(ranked, default=(0.0, 0))
    return likeness, dict(nodes[-place].param) if nodes else {}


@cache
def _shipped() -> tuple[_Node, ...]:
    return _nodes(shipped_patterns())


def _nodes(patterns: Iterable[Pattern]) -> tuple[_Node, ...]:
    """The nodes of patterns, with the words of their pattern, title and prompts."""
    found = []
    for pattern in patterns:
        for node in pattern.nodes:
            param = node.get("param", {})
            said = (pattern.text, node.get("title"), param.get("system"), param.get("user"), param.get("instruction"))
            found.append(_Node(node["type"], param, frozenset(words_of(" ".join(str(one) for one in said if one)))))
    return tuple(found)


@cache
def _weights() -> dict[str, float]:
    """How telling a word is: rare among the patterns tells more."""
    counts = Counter(word for pattern in shipped_patterns() for word in words_of(pattern.text))
    return {word: math.log(1 + len(shipped_patterns()) / count) ** 2 for word, count in counts.items()}


def _likeness(wanted: frozenset[str], words: frozenset[str]) -> float:
    """Cosine of the two sets of words, by their weights."""
    shared, one, other = (sum(_weights().get(word, 1.0) for word in part) for part in (wanted & words, wanted, words))
    return shared / math.sqrt(one * other) if one and other else 0.0
