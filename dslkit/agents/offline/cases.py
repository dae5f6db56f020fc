"""Cases of which only one runs: what a case is called, what decides, and the cases that one text lists itself."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline.kinds import file_kind
from dslkit.agents.offline.lexicon import any_of, anywhere, words
from dslkit.agents.offline.reading import ALIKE, Input, Output, Part, Reading

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_NAME: Final = 60
MAX_WORDS_OF_AN_ITEM: Final = 5  # more is a clause, no name
WORDS_OF_A_NAME: Final = 8

_CASE_FORMS: Final = tuple(
    re.compile(form)
    for form in (
        r"\breplace it with ([^.,;]+)",
        r"\b(?:type|category|kind|case)s?\b[^.;:—–]*?\s?(?:—|–|:| - )\s*([A-Z][^.,;]+)",
        r"\b(?:other|otherwise)\s+((?:invalid|unknown|irrelevant|unrelated)\s+\w+)",
        r"\b[Ff]or ([\w -]+?) input\b",
        r"\b[Ii]f ([^,.;]+),",
        r"\benter the ([\w -]+?) branch",
        r"\b[Tt]ransform it into an? ([\w -]{3,40})",
        (
            r"\b(?:[Cc]reate|[Bb]uild|[Dd]esign|[Mm]ake) an? (?:workflow\s+)?(?:dedicated to|specifically for|for)?\s*"
            r"(?:the\s+)?([^.,;]{3,60}?)(?: workflow)?(?=[.,;]|$)"
        ),
    )
)
_CONDITION: Final = anywhere(
    r"\b(?:if|when|whether)\s+(?:the\s+|an?\s+)?(?P<what>[^,.;]{2,60}?)\s+(?:is|are|has been|have been|was)\s+"
    r"(?P<not>not\s+)?(?P<how>empty|blank|missing|given|provided|supplied|present|filled in|specified|uploaded"
    r"|(?P<compare>greater than|more than|above|over|at least|less than|below|under|at most)\s+"
    r"(?P<number>\d+(?:\.\d+)?))",
)
_EMPTY: Final = words("empty blank missing")
_COMPARE: Final = {
    "greater than": ">", "more than": ">", "above": ">", "over": ">", "at least": "≥",
    "less than": "<", "below": "<", "under": "<", "at most": "≤",
}  # fmt: skip

_CHOOSES: Final = any_of(
    r"branch(?:es)?|classifier|classif\w+\b[^.;]*\b(?:then|and (?:handle|process|route|answer|reply))",
    "rout(?:e|es|ed|ing)|depending on|separately|different(?:ly)? (?:for|by)|by category",
)
_LISTINGS: Final = (
    anywhere(
        r"\b(?:platforms?|types?|categor(?:y|ies)|class(?:es)?|kinds?|intents?|departments?|topics?|groups?|levels?"
        r"|labels?|options?|cases?)\b[^.;:]{0,40}?"
        r"(?:\b(?:are|include|includes|including|namely|is one of|as|into|of)\b|:)\s*:?\s*(?P<items>[^.;]+)",
    ),
    anywhere(r"\bclassif\w+\b[^.;:]{0,60}?\b(?:into|as)\s+(?:one of\s+)?(?P<items>[^.;]+)"),
    anywhere(r"\bwhether\b[^,.;]{2,60}?\b(?:is|are)\s+(?P<items>[^.;]+)"),
)
_NEXT_CLAUSE: Final = re.compile(
    r",\s*(?:an?|the|one|its?|classified|using|which|each|then|so)\b"
    r"|,\s*and (?:then|each|handle|answer|process|route|reply)\b"
    r"|\s+(?:using|classified)\b",
)
_JOINT: Final = re.compile(r",\s*(?:and|or)?\s*|\s+(?:and|or)\s+|/")
_CLAUSE: Final = re.compile(
    r"(?:^|[.;:,]\s+(?:and\s+|but\s+)?|\band\s+|\bbut\s+)(?P<word>if|when|for)\s+(?P<when>[^,.;]{3,80}?),\s*"
    r"(?P<what>[^.;]+)",
    re.IGNORECASE | re.MULTILINE,
)
_OTHERWISE: Final = anywhere(r"\b(?:otherwise|in (?:all|any) other cases?|else)\b,?\s*(?P<what>[^.;]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of an input by an operator of Dify's; ``value`` is None where the operator takes none."""

    given: Input
    operator: str
    value: str | None = None


def case_name(text: str) -> str:
    """A short name of the case that a text describes."""
    for form in _CASE_FORMS:
        match = form.search(text)
        if match:
            return match[1].strip(" '\"")[:MAX_NAME]
    return " ".join(text.split()[:WORDS_OF_A_NAME]).strip(".,;:")


def condition_of(reading: Reading, text: str) -> Condition | None:
    """What a text makes depend on an input: "if X is (not) empty", "if X is greater than 5"."""
    match = _CONDITION.search(text)
    given = max(reading.inputs, key=lambda one: one.likeness(match["what"])) if match else None
    if match is None or given is None or given.likeness(match["what"]) < ALIKE:
        return None
    if match["compare"]:
        operator = _COMPARE[match["compare"].lower()]
        return Condition(given, operator, match["number"]) if given.type == "number" else None
    empty = (match["how"].lower() in _EMPTY) != bool(match["not"])
    there, missing = ("exists", "not exists") if given.type == "file" else ("not empty", "empty")
    return Condition(given, missing if empty else there)


def lists_cases(text: str) -> bool:
    """Whether a text sets out several cases itself: "if A, do this; if B, do that"."""
    return len(_clauses(text)) > 1


def with_cases(reading: Reading) -> list[Part]:
    """The parts; the first that lists cases of its own becomes one part a case."""
    in_rounds = any(part.case for part in reading.parts)
    for place, part in enumerate(reading.parts):
        listed = _named_cases(part)
        if not listed and not in_rounds:
            listed = _conditional_cases(part)
        if len(listed) > 1 and (part.case or not in_rounds):
            return [*reading.parts[:place], *listed, *reading.parts[place + 1 :]]
    return reading.parts


def _named_cases(part: Part) -> list[Part]:
    """Cases listed by name, where the text says that they are treated differently."""
    if not _CHOOSES.search(part.text):
        return []
    listings = (_items(match["items"]) for form in _LISTINGS for match in form.finditer(part.text))
    items = next((found for found in listings if len(found) > 1), [])
    return _as_parts(part, [(item, f"{part.text}\nThis is the case: {item}.") for item in items])


def _items(listed: str) -> list[str]:
    """The items of "A, B, and C"; nothing when they do not look like names."""
    cut = _NEXT_CLAUSE.split(listed)[0]
    items = [item for piece in _JOINT.split(cut) if (item := piece.strip(" '\"‘’“”()"))]
    long = any(len(item.split()) > MAX_WORDS_OF_AN_ITEM for item in items)
    return [] if long else list(dict.fromkeys(items))


def _conditional_cases(part: Part) -> list[Part]:
    """Cases worded as clauses: "if A, do this; if B, do that; otherwise …"."""
    clauses = _clauses(part.text)
    other = _OTHERWISE.search(part.text)
    if len(clauses) == 1 and not (other and _CONDITION.search(part.text)):
        return []
    found = [(when, f"If {when}, {what}.") for when, what in clauses]
    return _as_parts(part, [*found, ("Anything else", f"Otherwise {other['what']}.")] if other else found)


def _clauses(text: str) -> list[tuple[str, str]]:
    """Condition and deed of each clause; "for X" counts only beside others about the same kind of thing."""
    found = [(match["word"].lower(), match["when"], match["what"]) for match in _CLAUSE.finditer(text)]
    about = [_last_word(when) for word, when, _ in found if word == "for"]
    return [(when, what) for word, when, what in found if word != "for" or about.count(_last_word(when)) > 1]


def _last_word(phrase: str) -> str:
    return phrase.rsplit(maxsplit=1)[-1].lower().rstrip("s")


def _as_parts(part: Part, cases: Sequence[tuple[str, str]]) -> list[Part]:
    """Each case with the outputs of the whole part, a file in the format of the case."""
    return [Part(text, [_as_here(o, text) for o in part.outputs], case=name.strip(" '\"")) for name, text in cases]


def _as_here(output: Output, text: str) -> Output:
    ending = file_kind(text) if output.kind.startswith("file:") else None
    return replace(output, kind=f"file:{ending}") if ending else output
