"""From a reading to a plan: sources, parts in order, cases and their merging, ends."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from dslkit.agents.offline import making
from dslkit.agents.offline.drafting import Value
from dslkit.agents.offline.reading import Input, Part, Reading
from dslkit.agents.offline.wording import overlap
from dslkit.agents.offline.workbench import Workbench, deciding, merge, open_bench, start_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.knowledge.patterns import Pattern

AppMode = Literal["workflow", "advanced-chat"]
LITTLE_IN_COMMON = 0.5

Ending = dict[str, Value]


@dataclass(frozen=True, slots=True)
class _Choice:
    """What decides between cases: a condition on an input, or else a classifier."""

    condition: list[Any] | None = None
    swapped: bool = False  # the condition's case is the last part, so that the first one is the ELSE


def lay(reading: Reading, patterns: Sequence[Pattern] = (), app_mode: AppMode = "workflow") -> dict[str, Any]:
    """The plan of a reading; ``patterns`` lend prompts and code, the shipped ones when none are given."""
    bench = open_bench(reading, patterns)
    parts = _with_cases(reading)
    cases = [part for part in parts if part.case is not None]
    endings: list[Ending] = []
    for place, part in enumerate(parts):
        if part.case is None:
            making.make(bench, part, first=place == 0)
        elif part is cases[-1]:
            endings = _lay_cases(bench, cases)
    making.finish(bench)
    for ending in endings or [{}]:
        _end(bench, ending, app_mode, whole=len(endings) <= 1)
    return bench.draft.plan()


def _end(bench: Workbench, ending: Ending, app_mode: AppMode, *, whole: bool) -> None:
    values = {**bench.made, **ending} if whole else ending
    names = [output.name for output in bench.reading.wanted if output.name in values] if whole else list(ending)
    chosen = {name: values[name] for name in names} or {"result": bench.main_text()}
    if app_mode == "advanced-chat":
        text = "\n\n".join(value.text for value in chosen.values())
        bench.draft.add("answer", "Answer", {"answer": text}, chosen.values())
    else:
        bench.draft.add(
            "end", "End", {"outputs": [[name, value.ref] for name, value in chosen.items()]}, chosen.values()
        )


# ---- cases -----------------------------------------------------------------------------------------------------------


def _lay_cases(bench: Workbench, cases: Sequence[Part]) -> list[Ending]:
    """Lay one branch a case; merge what several make.  Returns one ending, or one for each set of outputs."""
    choice = _choice(bench.reading, cases)
    ordered = [*cases[1:], cases[0]] if choice.swapped else list(cases)
    node = _chooser(bench, ordered, choice)
    results = []
    for port, part in enumerate(ordered):
        with bench.draft.branch(node, port):
            branch = bench.fork()
            making.make(branch, part, first=True)
            making.finish(branch)
            results.append({output.name: branch.made[output.name] for output in part.outputs if output.wanted})
    groups: dict[frozenset[str], list[Ending]] = {}
    for result in results:
        groups.setdefault(frozenset(result), []).append(result)
    endings = [_merged(bench, group) for group in groups.values()]
    if len(endings) == 1:
        bench.made |= endings[0]
        bench.texts.extend(value for value in endings[0].values() if value.name != "files")
    return endings


def _merged(bench: Workbench, results: Sequence[Ending]) -> Ending:
    if len(results) == 1:
        return results[0]
    return {
        name: replace(merge(bench, [result[name] for result in results], f"Merge {name}"), label=name.replace("_", " "))
        for name in results[0]
    }


def _chooser(bench: Workbench, cases: Sequence[Part], choice: _Choice) -> str:
    if choice.condition:
        return bench.draft.add_after_all("if-else", "Which case?", {"cases": [[None, [choice.condition]]]})
    source = deciding(bench, "\n".join(part.text for part in cases))
    param = {"query_variable_selector": source.ref, "classes": _class_names(cases)}
    return bench.draft.add_after_all("question-classifier", "Which case?", param)


def _class_names(cases: Sequence[Part]) -> list[str]:
    names: list[str] = []
    for part in cases:
        name = part.case or "Other"
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


_CONDITION = re.compile(
    r"\b(?:if|when|whether)\s+(?:the\s+|an?\s+)?(?P<what>[^,.;]{2,60}?)\s+(?:is|are|has been|have been|was)\s+(?P<not>not\s+)?"
    r"(?P<how>empty|blank|missing|given|provided|supplied|present|filled in|specified|uploaded"
    r"|(?P<compare>greater than|more than|above|over|at least|less than|below|under|at most)\s+(?P<number>\d+(?:\.\d+)?))",
    re.IGNORECASE,
)
_EMPTY = frozenset({"empty", "blank", "missing"})
_COMPARE = {
    "greater than": ">", "more than": ">", "above": ">", "over": ">", "at least": "≥",
    "less than": "<", "below": "<", "under": "<", "at most": "≤",
}  # fmt: skip


def _choice(reading: Reading, cases: Sequence[Part]) -> _Choice:
    """A condition where a case of two says "if X is (not) empty" or compares a number; a classifier otherwise."""
    if len(cases) == 2:  # noqa: PLR2004 - an if-else has a case and its ELSE
        for place, part in enumerate(cases):
            condition = _condition(reading, part.text)
            if condition:
                return _Choice(condition, swapped=place == 1)
    return _Choice()


def _condition(reading: Reading, text: str) -> list[Any] | None:
    match = _CONDITION.search(text)
    if not match:
        return None
    fitting = max(reading.inputs, key=lambda one: overlap(match["what"], f"{one.name} {one.description}"))
    if overlap(match["what"], f"{fitting.name} {fitting.description}") < LITTLE_IN_COMMON:
        return None
    return _test(fitting, match)


def _test(given: Input, match: re.Match[str]) -> list[Any] | None:
    ref = start_value(given).ref
    if match["compare"]:
        return [ref, _COMPARE[match["compare"].lower()], match["number"]] if given.type == "number" else None
    empty = (match["how"].lower() in _EMPTY) != bool(match["not"])
    words = ("not exists", "exists") if given.type == "file" else ("empty", "not empty")
    return [ref, words[0] if empty else words[1]]


# ---- cases that one round lists -----------------------------------------------------------------------------------------

_CHOOSES = re.compile(
    r"\bbranch(?:es)?\b|\bclassifier\b|\bclassif\w+\b[^.;]*\b(?:then|and (?:handle|process|route|answer|reply))|\brout(?:e|es|ed|ing)\b"
    r"|\bdepending on\b|\bseparately\b|\bdifferent(?:ly)? (?:for|by)\b|\bby category\b",
    re.IGNORECASE,
)
_LISTING = re.compile(
    r"\b(?:platforms?|types?|categor(?:y|ies)|class(?:es)?|kinds?|intents?|departments?|topics?|groups?|levels?|labels?|options?|cases?)\b"
    r"[^.;:]{0,40}?(?:\b(?:are|include|includes|namely|is one of|as|into|of)\b|:)\s*:?\s*(?P<items>[^.;]+)",
    re.IGNORECASE,
)
_INTO = re.compile(r"\bclassif\w+\b[^.;:]{0,60}?\b(?:into|as)\s+(?:one of\s+)?(?P<items>[^.;]+)", re.IGNORECASE)
_WHETHER = re.compile(r"\bwhether\b[^,.;]{2,60}?\b(?:is|are)\s+(?P<items>[^.;]+)", re.IGNORECASE)
_CLAUSE = re.compile(
    r"(?:^|[.;:,]\s+(?:and\s+|but\s+)?|\band\s+|\bbut\s+)(?P<word>if|when|for)\s+(?P<when>[^,.;]{3,80}?),\s*(?P<what>[^.;]+)",
    re.IGNORECASE | re.MULTILINE,
)
_NEXT_CLAUSE = re.compile(
    r",\s*(?:an?|the|one|its?|classified|using|which|each|then|so|and (?:then|each|handle|answer|process|route|reply))\b"
    r"|\s+using\b|\s+classified\b",
)
_OTHERWISE = re.compile(r"\b(?:otherwise|in (?:all|any) other cases?|else)\b,?\s*(?P<what>[^.;]+)", re.IGNORECASE)


def _with_cases(reading: Reading) -> list[Part]:
    """The parts; the first that lists cases of its own becomes one part a case."""
    in_rounds = any(part.case for part in reading.parts)
    for place, part in enumerate(reading.parts):
        listed = _named_cases(part) if in_rounds else _named_cases(part) or _conditional_cases(part)
        if len(listed) > 1 and (part.case or not in_rounds):
            return [*reading.parts[:place], *listed, *reading.parts[place + 1 :]]
    return reading.parts


def _conditional_cases(part: Part) -> list[Part]:
    """ "if A, do this; if B, do that; otherwise …" """
    clauses = _clauses(part.text)
    other = _OTHERWISE.search(part.text)
    if len(clauses) + bool(other) < 2 or (len(clauses) < 2 and not _CONDITION.search(part.text)):  # noqa: PLR2004 - one is no choice
        return []
    found = [(when, f"If {when}, {what}.") for when, what in clauses]
    return _as_parts(part, [*found, ("Anything else", f"Otherwise {other['what']}.")] if other else found)


def _clauses(text: str) -> list[tuple[str, str]]:
    """Condition and deed of each clause; "for X" counts only beside others about the same kind of thing."""
    found = [(match["word"].lower(), match["when"], match["what"]) for match in _CLAUSE.finditer(text)]
    kinds = [when.split()[-1].lower().rstrip("s") for word, when, _ in found if word == "for"]
    return [
        (when, what)
        for word, when, what in found
        if word != "for" or kinds.count(when.split()[-1].lower().rstrip("s")) > 1
    ]


def _named_cases(part: Part) -> list[Part]:
    """Cases listed by name, where the text says that they are treated differently."""
    text = part.text
    if not _CHOOSES.search(text):
        return []
    listings = (match for form in (_LISTING, _INTO, _WHETHER) for match in form.finditer(text))
    items: list[str] = next((found for match in listings if len(found := _items(match["items"])) > 1), [])
    return _as_parts(part, [(item, f"{text}\nThis is the case: {item}.") for item in items])


def _as_parts(part: Part, cases: Sequence[tuple[str, str]]) -> list[Part]:
    """Each case with the outputs of the whole part."""
    return [Part(text, list(part.outputs), case=name.strip(" '\"")) for name, text in cases]


def _items(listed: str) -> list[str]:
    """The items of "A, B, and C"; nothing when they do not look like names."""
    cut = _NEXT_CLAUSE.split(listed)[0]
    items = [item.strip(" '\"‘’“”()") for item in re.split(r",\s*(?:and|or)?\s*|\s+(?:and|or)\s+|/", cut)]
    named = [item for item in items if item and len(item.split()) <= 5]  # noqa: PLR2004 - longer is a clause, no name
    return list(dict.fromkeys(named)) if len(named) == len([item for item in items if item]) else []
