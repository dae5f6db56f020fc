"""Cases of which only one runs: those that one text lists itself, and what decides between them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dslkit.agents.offline.changes import as_in
from dslkit.agents.offline.drafting import START
from dslkit.agents.offline.state import Part, Reading, Variable, best
from dslkit.agents.offline.words import ALIKE, any_of, anywhere, mentions, words

if TYPE_CHECKING:
    from collections.abc import Sequence

Test = list[Any]  # as in a plan: reference, operator of Dify's, value unless the operator takes none; or empty

MAX_NAME: Final = 60
MAX_WORDS_OF_AN_ITEM: Final = 5  # more is a clause, no name
WORDS_OF_A_NAME: Final = 8

_CASE_FORMS: Final = anywhere(
    r"\bif (?P<condition>[^,.;]+),",
    r"\b(?:type|category|kind|case)s?\b[^.;:—–]*?\s?(?:—|–|:| - )\s*(?P<named>[A-Z][^.,;]+)",
    r"\b(?:create|build|design|make) an? (?P<whole>[^.,;]{3,60}?)(?: workflow)?(?=[.,;]|$)",
)
_CLASSIFIER: Final = any_of("question classifier")
_COMPARE: Final = {
    "greater than": ">", "more than": ">", "above": ">", "over": ">", "at least": "≥", "or more": "≥", "or above": "≥",
    "or higher": "≥", "less than": "<", "below": "<", "under": "<", "at most": "≤", "or less": "≤", "or below": "≤",
}  # fmt: skip
_EMPTY: Final = words("empty blank missing")
_CONDITION: Final = anywhere(
    r"\b(?:if|when|whether)\s+(?:the\s+|an?\s+)?(?P<what>[^,.;]{2,60}?)\s+(?:is|are|has been|have been|was)\s+"
    r"(?P<not>not\s+)?(?:(?P<how>empty|blank|missing|given|provided|supplied|present|filled in|specified|uploaded)"
    r"|(?P<before>[a-z]+(?: than| least| most)?)\s+(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<least>\d+(?:\.\d+)?)\s+(?P<after>or \w+)|['\"‘“]?(?P<value>\w[\w-]*)['\"’”]?(?=\s*[,.;]))",
)
_CHOOSES: Final = any_of(
    r"branch(?:es)?|classifier|classif\w+\b[^.;]*\b(?:then|and (?:handle|process|route|answer|reply))",
    r"classified (?:as|into)|rout(?:e|es|ed|ing)|depending on|separately|different(?:ly)? (?:for|by)|by category",
)
_LISTINGS: Final = (
    anywhere(
        r"\b(?:platforms?|types?|categor(?:y|ies)|class(?:es)?|kinds?|intents?|departments?|topics?|groups?|levels?"
        r"|labels?|options?|cases?)\b[^.;:]{0,40}?"
        r"(?:\b(?:are|include|includes|including|namely|is one of|as|into|of)\b|:)\s*:?\s*(?P<items>[^.;]+)",
    ),
    anywhere(r"\b(?:classif\w+|sort\w*)\b[^.;:]{0,60}?\b(?:into|as)\s+(?:one of\s+)?(?P<items>[^.;]+)"),
    anywhere(r"\bwhether\b[^,.;]{2,60}?\b(?:is|are)\s+(?P<items>[^.;]+)"),
)
_NEXT_CLAUSE: Final = re.compile(
    r",\s*(?:an?|the|one|its?|classified|using|which|each|then|so)\b"
    r"|,\s*and (?:then|each|handle|answer|process|route|reply|let)\b"
    r"|\s+(?:using|with an?|classified)\b",
)
_JOINT: Final = re.compile(r",\s*(?:and|or)?\s*|\s+(?:and|or)\s+|/")
_CLAUSE: Final = re.compile(
    r"(?:^|[.;:,]\s+(?:and\s+|but\s+)?(?:\d{1,2}[.)]\s+)?|\band\s+|\bbut\s+)(?P<word>if|when|for)\s+"
    r"(?P<when>[^,.;]{3,80}?),\s*(?P<what>[^.;]+)",
    re.IGNORECASE | re.MULTILINE,
)
_OTHERWISE: Final = anywhere(r"\b(?:otherwise|in (?:all|any) other cases?|else)\b,?\s*(?P<what>[^.;]+)")
_EACH: Final = re.compile(r"^(?:each|every|all|both)\b(?! other)", re.IGNORECASE)


def case_name(text: str) -> str:
    """A short name of the case that a text describes."""
    match = _CASE_FORMS.search(text)
    said = match[match.lastgroup] if match and match.lastgroup else " ".join(text.split()[:WORDS_OF_A_NAME])
    return said.strip(" '\".,;:")[:MAX_NAME]


def lists_cases(text: str) -> bool:
    """Whether a text sets out several cases itself: "if A, do this; if B, do that"."""
    return len(_worded(text)) > 1


def numbers_compared(text: str) -> list[str]:
    """What a text compares with a number."""
    return [match["what"] for match in _CONDITION.finditer(text) if match["number"] or match["least"]]


def with_cases(reading: Reading) -> list[Part]:
    """The parts; the first that lists cases of its own becomes a lead and one part a case."""
    in_rounds = any(part.case for part in reading.parts)
    for place, part in enumerate(reading.parts):
        listed = _cases_of(reading, part) if part.case or not in_rounds else []
        if listed:
            first = _CLAUSE.search(part.text) if listed[0].text.startswith("If ") else None
            lead = Part(part.text[: first.start()] if first else part.text, idle=True)
            return [*reading.parts[:place], lead, *listed, *reading.parts[place + 1 :]]
    return reading.parts


def _cases_of(reading: Reading, part: Part) -> list[Part]:
    """The cases a part lists, by name or by clauses; without outputs of its own it changes the latest text."""
    if not part.outputs:
        texts = [output for output in reading.wanted if output.kind == "text"]
        part = replace(part, outputs=texts[-1:])
    named, clauses = _named_cases(part), _clause_cases(part)
    return named if len(named) > len(clauses) else clauses


def _named_cases(part: Part) -> list[Part]:
    """Cases listed by name, where the text says that they are treated differently."""
    if not _CHOOSES.search(part.text):
        return []
    listings = (_items(match["items"]) for form in _LISTINGS for match in form.finditer(part.text))
    items = next((found for found in listings if len(found) > 1), [])
    return [replace(part, text=f"{part.text}\nThis is the case: {item}.", case=item) for item in items]


def _items(listed: str) -> list[str]:
    """The items of "A, B, and C"; nothing when they do not look like names."""
    cut = _NEXT_CLAUSE.split(listed)[0]
    items = [item for piece in _JOINT.split(cut) if (item := piece.strip(" '\"‘’“”()"))]
    long = any(len(item.split()) > MAX_WORDS_OF_AN_ITEM for item in items)
    return [] if long else list(dict.fromkeys(items))


def _clause_cases(part: Part) -> list[Part]:
    """Cases worded as clauses, each with the outputs it names itself and those that no clause names."""
    cases = _worded(part.text)
    claimed = {name for _, text in cases for name in _names(text)}
    found = []
    for when, text in cases if len(cases) > 1 else ():
        own = [output for output in part.outputs if output.name in _names(text)]
        shared = [as_in(output, text) for output in part.outputs if output.name not in claimed]
        found.append(Part(text, [*own, *shared], case=when.strip(" '\"")))
    return found


def _worded(text: str) -> list[tuple[str, str]]:
    """Names and texts of the cases that clauses tell apart."""
    cases = [(when, f"If {when}, {what}.") for when, what in _clauses(text)]
    other = _OTHERWISE.search(text)
    if other and (cases or _CONDITION.search(text)):
        cases.append(("Anything else", f"Otherwise {other['what']}."))
    return cases


def _names(text: str) -> set[str]:
    return {name for mention in mentions(text) for name in mention.names}


def _clauses(text: str) -> list[tuple[str, str]]:
    """Condition and deed of each clause; "for X" counts only beside others, about one kind of thing or a choice."""
    found = [(match["word"].lower(), match["when"], match["what"]) for match in _CLAUSE.finditer(text)]
    found = [one for one in found if not _EACH.search(one[1])]
    about = [_last_word(when) for word, when, _ in found if word == "for"]
    chosen = len(about) > 1 and bool(_CHOOSES.search(text))
    return [(when, what) for word, when, what in found if word != "for" or chosen or about.count(_last_word(when)) > 1]


def _last_word(phrase: str) -> str:
    return phrase.rsplit(maxsplit=1)[-1].lower().rstrip("s")


# ---- what decides ----------------------------------------------------------------------------------------------------


def decide(reading: Reading, cases: Sequence[Part]) -> tuple[list[Part], list[Test]]:
    """The cases in the order of the ports, and the tests of all but the last; no tests where meaning decides."""
    given: Variable | None = None
    tested: list[tuple[Part, Test]] = []
    for part in cases:
        given, test = _test(reading, part.text, given)
        tested.append((part, test))
    tested.sort(key=lambda one: not one[1])
    if _CLASSIFIER.search(reading.text) or not all(test for _, test in tested[:-1]):
        return list(cases), []
    return [part for part, _ in tested], [test for _, test in tested[:-1]]


def _test(reading: Reading, text: str, before: Variable | None) -> tuple[Variable | None, Test]:
    """What a text makes depend on an input: "if X is (not) empty", "… above 5", "… 'red'"; "it" is the one before."""
    match = _CONDITION.search(text)
    if not match:
        return before, []
    given = before if match["what"].lower() == "it" else best(reading.inputs, match["what"], ALIKE)
    if given is None:
        return before, []
    if match["how"]:
        empty = (match["how"].lower() in _EMPTY) != bool(match["not"])
        there, missing = ("exists", "not exists") if given.kind == "file" else ("not empty", "empty")
        return given, [[given.name, START], missing if empty else there]
    operator, kind = "not contains" if match["not"] else "contains", "string"
    if not match["value"]:
        operator, kind = _COMPARE.get((match["before"] or match["after"]).lower(), "="), "number"
    value = match["value"] or match["number"] or match["least"]
    return given, [[given.name, START], operator, value] if given.kind == kind else []
