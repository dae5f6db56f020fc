"""Takes prompts and code from the patterns: the node nearest in wording to what has to be done."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from dslkit.agents.offline.wording import words_of
from dslkit.knowledge.patterns import Pattern, shipped_patterns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PLAIN_SYSTEM = (
    "You are a careful expert in the field of the task. You do exactly what it says, keep to its limits, and give the"
    " result alone."
)
LEAST_LIKENESS = 0.24  # below, a prompt is about something else more often than not


@dataclass(frozen=True, slots=True)
class _Candidate:
    pattern: Pattern
    node: dict[str, Any]
    words: frozenset[str]


def system_prompt(task: str, patterns: Sequence[Pattern] = ()) -> str:
    """The system prompt of the model node that does the likest work; a plain one when none is like it."""
    found = _nearest(task, "llm", patterns, lambda param: bool(param.get("system")) and "{{#" not in param["system"])
    return str(found["system"]) if found else PLAIN_SYSTEM


def code(task: str, patterns: Sequence[Pattern] = (), *, gives: Sequence[str], takes: int = 1) -> dict[str, Any] | None:
    """The code node that does the likest work, of those with so many variables and outputs of these types."""

    def fits(param: dict[str, Any]) -> bool:
        return len(param["variables"]) == takes and [kind for _, kind in param["outputs"]] == list(gives)

    return _nearest(task, "code", patterns, fits, least=0.0)


def service_address(text: str) -> dict[str, Any] | None:
    """Code that turns an address into those of a service's API, where the text names the service ("GitHub")."""
    for candidate in _shipped_candidates("code"):
        outputs = [name for name, _ in candidate.node["param"]["outputs"]]
        service = str(candidate.node.get("title", "")).split()[0]
        if outputs and all(name.endswith("_url") for name in outputs) and service.lower() in text.lower():
            return dict(candidate.node["param"])
    return None


def _nearest(
    task: str,
    kind: str,
    shown: Sequence[Pattern],
    fits: Callable[[dict[str, Any]], bool],
    least: float = LEAST_LIKENESS,
) -> dict[str, Any] | None:
    """The likest fitting node among the patterns shown, or else among the shipped ones."""
    wanted = frozenset(words_of(task))
    for candidates, enough in ((_collect(kind, shown), LEAST_LIKENESS), (_shipped_candidates(kind), least)):
        fitting = [one for one in candidates if fits(one.node["param"])]
        best = max(fitting, key=lambda one: _likeness(wanted, one.words), default=None)
        if best and _likeness(wanted, best.words) >= enough:
            return dict(best.node["param"])
    return None


@cache
def _shipped_candidates(kind: str) -> list[_Candidate]:
    return _collect(kind, shipped_patterns())


def _collect(kind: str, patterns: Sequence[Pattern]) -> list[_Candidate]:
    return [
        _Candidate(pattern, node, frozenset(words_of(f"{pattern.text} {node.get('title', '')} {_said(node['param'])}")))
        for pattern in patterns
        for node in pattern.nodes
        if node["type"] == kind and isinstance(node.get("param"), dict)
    ]


def _said(param: dict[str, Any]) -> str:
    return " ".join(str(param[name]) for name in ("system", "user", "instruction") if name in param)


@cache
def _weights() -> dict[str, float]:
    """How telling a word is: rare among the patterns tells more."""
    counts = Counter(word for pattern in shipped_patterns() for word in words_of(pattern.text))
    total = len(shipped_patterns())
    return {word: math.log(1 + total / count) for word, count in counts.items()}


def _likeness(wanted: frozenset[str], words: frozenset[str]) -> float:
    """Cosine of the two sets of words, by their weights."""
    shared, one, other = (_weight(part) for part in (wanted & words, wanted, words))
    return shared / math.sqrt(one * other) if one and other else 0.0


def _weight(words: frozenset[str]) -> float:
    weights = _weights()
    return sum(weights.get(word, 1.0) ** 2 for word in words)
