"""Cues of English requirement texts: where variables are named, what they are, which kind of node a phrase asks for.

Everything here is about how people word requirements in general; no requirement is known by its content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]{0,60}"
_QUOTE = "'\"`‘’“”"
_LIST = rf"[{_QUOTE}]?{IDENTIFIER}[{_QUOTE}]?(?:\s*(?:,|/|&|\band\b|,\s*and\b)\s*[{_QUOTE}]?{IDENTIFIER}[{_QUOTE}]?(?![\w]))*"

# "(variable x)", "(variables 'a', 'b' and 'c')", "(variable name: x)", "（variable x）"
_IN_BRACKETS = rf"[(（\[]\s*(?:the\s+)?(?:(?:input|output)\s+)?(?:variables?|vars?|fields?|named?|called)(?:\s+names?)?\s*(?:named|called|is|are|[:=])?\s*(?P<a>{_LIST})[^()（）\[\]]{{0,60}}[)）\]]"
# "(`x`)", "('x')", "(my_name)"
_BARE_IN_BRACKETS = rf"[(（]\s*(?P<b>[{_QUOTE}]{IDENTIFIER}[{_QUOTE}]|{IDENTIFIER}_{IDENTIFIER}|`{IDENTIFIER}`)\s*[)）]"
# "variable `x`", "the variables a and b", "stored as `x`", "named x", "called 'x'"
_IN_PROSE = rf"\b(?:variables?\s+(?:named\s+|called\s+|names?\s+)?|named\s+|called\s+|(?:with|by|under) the name (?:of )?|(?:as|in|under|into)\s+(?=[`'\"‘“]))(?P<c>{_LIST})"
_TICKED = rf"`(?P<d>{IDENTIFIER})`"
_MENTION: Final = re.compile(f"{_IN_BRACKETS}|{_BARE_IN_BRACKETS}|{_IN_PROSE}|{_TICKED}", re.IGNORECASE)

_NO_NAME: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "be",
        "by",
        "can",
        "for",
        "from",
        "has",
        "have",
        "if",
        "in",
        "is",
        "it",
        "its",
        "name",
        "names",
        "must",
        "needs",
        "of",
        "on",
        "only",
        "or",
        "remain",
        "remains",
        "should",
        "that",
        "the",
        "their",
        "this",
        "to",
        "type",
        "types",
        "unchanged",
        "used",
        "value",
        "values",
        "variable",
        "variables",
        "was",
        "were",
        "which",
        "will",
        "with",
        "string",
        "number",
        "file",
        "optional",
        "required",
        "same",
        "text",
    ]
)

_GLUE: Final = frozenset(["a", "an", "and", "are", "as", "by", "for", "is", "of", "or", "the", "to", "with"])

# What says that a variable is given, or made.
INPUT_CUE: Final = re.compile(
    r"\b(?:provid\w+|inputs?|upload\w*|enter(?:s|ed|ing)?|suppl(?:y|ies|ied)|submit\w*|giv(?:e|es|en|ing)|past(?:e|es|ed)"
    r"|accept\w*|tak(?:e|es|ing)|(?:workflow|system|it) (?:receives?|gets)|types? in|fills? in|choos(?:e|es)|selects?|specif(?:y|ies)|hands? in|sends?)\b",
    re.IGNORECASE,
)
OUTPUT_CUE: Final = re.compile(
    r"\b(?:outputs?|outputting|generat(?:e|es|ed|ing)|returns?|returning|produc(?:e|es|ed|ing)|obtain(?:s|ing)?|deliver(?:s|ing)?"
    r"|creat(?:e|es|ed|ing)|emits?|yields?|exports?|writes?|gives? back|responds?|sends? back|hands? (?:over|back)|results? in"
    r"|ends? with|saves?|presents?|presenting|shows?|(?<!workflow )(?<!system )(?<!it )(?:receives?|gets)"
    r"|(?:convert|turn|transform)\w*\b[^,.;()]*?\b(?:in)?to)\b",
    re.IGNORECASE,
)
AS_INPUT: Final = re.compile(r"^[^.;]{0,40}?\bas (?:an? |the )?(?:\w+ )?inputs?\b", re.IGNORECASE)
AS_OUTPUT: Final = re.compile(r"^[^.;]{0,40}?\bas (?:an? |the )?(?:\w+ )?outputs?\b", re.IGNORECASE)

Role = Literal["input", "output"]


@dataclass(frozen=True, slots=True)
class Mention:
    """Variables named at one place: their names, what the text says they are, and whether they are given or made."""

    names: tuple[str, ...]
    description: str
    role: Role | None
    sentence: str
    aside: bool = False  # it is what something else is about, from or for


def sentences(text: str) -> list[str]:
    """Split at full stops, semicolons before a capital and line ends; abbreviations and file endings stay whole."""
    guarded = re.sub(r"\b(No|e\.g|i\.e|etc|vs|Mr|Ms|Dr|approx)\.", lambda match: match[0].replace(".", "\u2024"), text)
    parts = re.split(r"(?<=[.!?。])\s+|(?<=[a-z)][.])(?=[A-Z][a-z])|(?<=;)\s+|\n+", guarded)
    return [part.replace("\u2024", ".").strip() for part in parts if part and part.strip()]


def mentions(sentence: str) -> list[Mention]:
    """The variables a sentence names, in order."""
    found: list[Mention] = []
    last_end, role = 0, None
    for match in _MENTION.finditer(sentence):
        names = _names(match)
        if not names:
            continue
        before = sentence[last_end : match.start()]
        role = _role(before, sentence[match.end() :]) or role
        described = _description(before) or _after(sentence[match.end() :])
        found.append(Mention(names, described, role, sentence, aside=bool(_ASIDE.search(before))))
        last_end = match.end()
    return found


def _names(match: re.Match[str]) -> tuple[str, ...]:
    listed = next(group for group in match.groups() if group)
    bare = [word.strip(_QUOTE + " ") for word in re.split(r"\s*(?:,|/|&|\band\b)\s*", listed) if word]
    names: list[str] = []
    in_prose = match["c"] is not None
    if in_prose and not match[0].lower().startswith("variables"):
        bare = bare[:1]
    for word in filter(None, bare):
        if word.lower() in (_NO_NAME if in_prose else _GLUE):
            break
        names.append(word)
    return tuple(dict.fromkeys(names))


_ASIDE: Final = re.compile(r"\b(?:about|on|for|from|of)\s+(?:\w+\s+){0,4}$", re.IGNORECASE)


def _role(before: str, after: str) -> Role | None:
    """By the last cue before the name, unless what follows says "as input"."""
    if AS_INPUT.match(after):
        return "input"
    if AS_OUTPUT.match(after):
        return "output"
    if re.search(r"\b(?:based on|according to|depending on)\s+[^,.;]*$", before, re.IGNORECASE):
        return "input"
    given, made = _last(INPUT_CUE, before), _last(OUTPUT_CUE, before)
    if given == made:
        return None
    return "input" if given > made else "output"


def _last(cue: re.Pattern[str], text: str) -> int:
    return max((match.end() for match in cue.finditer(text)), default=-1)


_LEAD: Final = re.compile(
    r"^(?:[\s,;:—–-]|and\b|or\b|with\b|the\b|an?\b|its\b|their\b|to\b|as\b|both\b|final\b|needs?\b|must\b|also\b|can\b|may\b"
    r"|contain\b|only\b|additionally\b|finally\b|then\b|be\b|is\b|are\b|in\b|of\b|this\b|user'?s?\b)+",
    re.IGNORECASE,
)


# "a cover image into an output called x": the phrase ends before the place it goes to.
_PLACE: Final = re.compile(
    r"\s+(?:(?:goes|is stored|stored|put|saved|written)\s+)?(?:in)?(?:to|as|in|under)\s+(?:the|an?)\s+(?:\w+\s+)?(?:outputs?|inputs?|variables?|fields?)\s*$",
    re.IGNORECASE,
)


def _description(before: str) -> str:
    """The noun phrase that stands before a name: what follows the last cue that leaves anything."""
    before = _PLACE.sub("", before)
    cuts = sorted(match.end() for cue in (INPUT_CUE, OUTPUT_CUE) for match in cue.finditer(before))
    for cut in reversed(cuts or [0]):
        phrase = _LEAD.sub("", re.sub(r"\s+as (?:an? )?(?:\w+ )?inputs?\s*$", "", before[cut:])).strip(" ,;:—–-(\"'`")
        if phrase:
            return _CONJUNCT.split(phrase)[-1][:160]
    return ""


# "the story and the cover image": the name belongs to the last of them.
_CONJUNCT: Final = re.compile(r",?\s+and\s+(?:the|an?)\s+")


def _after(text: str) -> str:
    """ "variable x for the city": the phrase may follow the name."""
    match = re.match(r"\s*(?:\(|for|with|holding|containing|is|:|–|—|-)\s*([^,.;()]{3,80})", text)
    return _LEAD.sub("", match[1]).strip() if match else ""


_HEAD_END: Final = re.compile(
    r"\b(?:of|for|from|in|containing|about|to|that|which|with|on|by|based|as|using|needing|whose|where|who|is|are|into)\b"
)
_COLLECTION: Final = frozenset(
    [
        "list",
        "set",
        "collection",
        "batch",
        "series",
        "group",
        "folder",
        "number",
        "bunch",
        "array",
        "several",
        "multiple",
    ]
)


def head(phrase: str) -> str:
    """The noun a phrase is about: "an image of a ticket" is an image, "a list of papers" are papers."""
    first, *rest = _HEAD_END.split(phrase.lower(), maxsplit=1)
    words = re.findall(r"[a-z][a-z-]*", first) or re.findall(r"[a-z][a-z-]*", phrase.lower())
    noun = words[-1] if words else ""
    if noun in _COLLECTION - {"number"} and rest:
        return head(rest[0])
    return noun


def words_of(text: str) -> set[str]:
    """The content words of a text, bare of endings, for comparing phrases."""
    found = re.findall(r"[a-z][a-z0-9]+", text.lower().replace("_", " "))
    return {_stem(word) for word in found if word not in _FILLERS}


_FILLERS: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "by",
        "can",
        "for",
        "from",
        "has",
        "have",
        "in",
        "into",
        "is",
        "it",
        "its",
        "must",
        "need",
        "needs",
        "of",
        "on",
        "or",
        "should",
        "the",
        "their",
        "then",
        "this",
        "that",
        "these",
        "those",
        "to",
        "user",
        "users",
        "was",
        "were",
        "which",
        "will",
        "with",
        "workflow",
        "task",
        "existing",
        "foundation",
        "based",
        "file",
        "files",
        "variable",
        "variables",
        "output",
        "outputs",
        "input",
        "inputs",
        "final",
        "only",
        "also",
        "result",
        "results",
        "generated",
        "corresponding",
        "branch",
    ]
)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s", "ion"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word


def overlap(phrase: str, other: str) -> float:
    """How much of the phrase's content words the other text has, 0 to 1."""
    wanted = words_of(phrase)
    return len(wanted & words_of(other)) / len(wanted) if wanted else 0.0
