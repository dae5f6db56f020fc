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

PLAIN_SYSTEM = "You are a careful expert in the field of the task. You do exactly what it says, keep to its limits, and give the result alone."
LEAST_LIKENESS = 0.16


@dataclass(frozen=True, slots=True)
class _Candidate:
    pattern: Pattern
    node: dict[str, Any]
    words: Counter[str]


def system_prompt(task: str, patterns: Sequence[Pattern] = ()) -> str:
    """The system prompt of the model node that does the likest work; a plain one when none is like it."""
    found = _nearest(task, "llm", patterns, lambda param: bool(param.get("system")) and "{{#" not in param["system"])
    return str(found["system"]) if found else PLAIN_SYSTEM


def code(task: str, patterns: Sequence[Pattern] = (), *, gives: Sequence[str], takes: int = 1) -> dict[str, Any] | None:
    """Parameters of the code node that does the likest work, of those with ``takes`` variables and these output types."""

    def fits(param: dict[str, Any]) -> bool:
        return len(param["variables"]) == takes and [kind for _, kind in param["outputs"]] == list(gives)

    return _nearest(task, "code", patterns, fits, least=0.0)


def service_address(text: str) -> dict[str, Any] | None:
    """Code that turns an address into those of a service's API, where the text names the service ("GitHub")."""
    for candidate in _candidates("code", shipped_patterns()):
        outputs = [name for name, _ in candidate.node["param"]["outputs"]]
        service = str(candidate.node.get("title", "")).split()[0]
        if outputs and all(name.endswith("_url") for name in outputs) and service.lower() in text.lower():
            return dict(candidate.node["param"])
    return None


def _nearest(
    task: str,
    kind: str,
    patterns: Sequence[Pattern],
    fits: Callable[[dict[str, Any]], bool],
    least: float = LEAST_LIKENESS,
) -> dict[str, Any] | None:
    candidates = [one for one in _candidates(kind, tuple(patterns) or shipped_patterns()) if fits(one.node["param"])]
    wanted = Counter(words_of(task))
    best = max(candidates, key=lambda one: _likeness(wanted, one.words), default=None)
    return dict(best.node["param"]) if best and _likeness(wanted, best.words) >= least else None


def _candidates(kind: str, patterns: tuple[Pattern, ...]) -> list[_Candidate]:
    if patterns is shipped_patterns():
        return _shipped_candidates(kind)
    return _collect(kind, patterns)


@cache
def _shipped_candidates(kind: str) -> list[_Candidate]:
    return _collect(kind, shipped_patterns())


def _collect(kind: str, patterns: Sequence[Pattern]) -> list[_Candidate]:
    return [
        _Candidate(pattern, node, Counter(words_of(f"{pattern.text} {node.get('title', '')} {_said(node['param'])}")))
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


def _likeness(wanted: Counter[str], words: Counter[str]) -> float:
    weights = _weights()

    def length(counts: Counter[str]) -> float:
        return math.sqrt(sum(weights.get(word, 1.0) ** 2 for word in counts)) or 1.0

    return sum(weights.get(word, 1.0) ** 2 for word in wanted & words) / (length(wanted) * length(words))
