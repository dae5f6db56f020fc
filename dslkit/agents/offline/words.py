"""Words, phrases and sentences of requirements, and the variables they name: where, and whether given or made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

Role = Literal["input", "output"]

ALIKE: Final = 0.6  # share of a phrase's words from which on it means the thing compared with
MAX_DESCRIPTION: Final = 160
MAX_SENTENCE: Final = 1_000
MAX_TEXT: Final = 20_000


def words(*texts: str) -> frozenset[str]:
    """The words of some lines."""
    return frozenset(word for text in texts for word in text.split())


def any_of(*forms: str) -> re.Pattern[str]:
    """Any of the forms as whole words, in either case."""
    return re.compile(rf"\b(?:{'|'.join(forms)})\b", re.IGNORECASE)


def anywhere(*forms: str) -> re.Pattern[str]:
    """Any of the forms, in either case, wherever they begin and end."""
    return re.compile("|".join(forms), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Mention:
    """Variables named at one place: their names, what the text says they are, and whether they are given or made."""

    names: tuple[str, ...]
    description: str
    role: Role | None
    sentence: str
    aside: bool = False  # it is what something else is about, from or for
    uploaded: bool = False


_NAME = r"[A-Za-z_][A-Za-z0-9_]{0,60}"
_QUOTE = "'\"`‘’“”"
_QUOTED = rf"[{_QUOTE}]?{_NAME}[{_QUOTE}]?"
_NAMES = rf"{_QUOTED}(?:\s*(?:,\s*and\b|,|/|&|\band\b)\s*{_QUOTED}(?!\w))*"
_NOUN = r"(?:the\s+)?(?:(?:input|output)\s+)?(?:variables?|vars?|fields?|named?|called)\b(?:\s+names?\b)?"
_NAMING = (
    r"variables?\s+(?:named\s+|called\s+|names?\s+)?|named\s+|called\s+|(?:with|by|under) the name (?:of )?"
    r"|(?:as|in|under|into)\s+(?=[`'\"‘“])"
)
_MENTION: Final = anywhere(
    # (variable x), (variables 'a', 'b' and 'c'), (variable name: x); the brackets may be full-width ones
    rf"[(（\[]\s*{_NOUN}\s*(?:named|called|is|are|[:=])?\s*(?P<bracketed>{_NAMES})[^()（）\[\]]{{0,60}}[)）\]]",
    # (`x`), ('x'), (my_name)
    rf"[(（]\s*(?P<bare>[{_QUOTE}]{_NAME}[{_QUOTE}]|{_NAME}_{_NAME})\s*[)）]",
    # variable `x`, the variables a and b, stored as `x`, named x
    rf"\b(?P<naming>{_NAMING})(?P<prose>{_NAMES})",
    rf"`(?P<ticked>{_NAME})`",
)
_JOINT: Final = re.compile(r"\s*(?:,|/|&|\band\b)\s*")
_GLUE: Final = words("and are by for is of or the to with")
_NO_NAME: Final = _GLUE | words(
    "a an as be can from has have if in it its name names must needs on only remain remains should that their",
    "this type types unchanged used value values variable variables was were which will string number file",
    "optional required same text",
)

INPUT_CUE: Final = any_of(
    r"provid\w+|inputs?|upload\w*|enter(?:s|ed|ing)?|suppl(?:y|ies|ied)|submit\w*|giv(?:e|es|en|ing)|past(?:e|es|ed)",
    r"accept\w*|tak(?:e|es|ing)|(?:workflow|system|it) (?:receives?|gets)|types? in|fills? in|choos(?:e|es)|selects?",
    r"specif(?:y|ies)|hands? in|sends?",
    r"users?\b[^.;]{0,80}?\b(?:says?|states?|names?|tells?|describes?|asks?|picks?|sets?|mentions?|attach(?:es)?)",
)
OUTPUT_CUE: Final = any_of(
    r"outputs?(?! (?:format|language|type|style|length))",
    r"outputting|generat(?:e|es|ed|ing)|returns?|returning|produc(?:e|es|ed|ing)|obtain(?:s|ing)?",
    r"deliver(?:s|ing)?|creat(?:e|es|ed|ing)|emits?|yields?|exports?|writes?|gives? back|responds?|sends? back",
    r"hands? (?:over|back)|results? in|ends? with|saves?|presents?|presenting|shows?",
    r"(?<!workflow )(?<!system )(?<!it )(?:receives?|gets)",
    r"(?:convert|turn|transform)\w*\b[^,.;()]*?\b(?:in)?to|chang\w+ (?:it|them|this) (?:in)?to",
)
_AS_ROLE: Final = re.compile(r"[^.;]{0,40}?\bas (?:an? |the )?(?:\w+ )?(?P<role>input|output)s?\b", re.IGNORECASE)
_INDIRECT: Final = re.compile(r"\b(?:what|how|whether)\b.*$", re.IGNORECASE)  # "says what the chart should show"
_DECIDES: Final = re.compile(r"\b(?:based on|according to|depending on)\s+[^,.;]*$", re.IGNORECASE)
_ASIDE: Final = re.compile(r"\b(?:about|on|for|from|of)\s+(?:\w+\s+){0,4}$", re.IGNORECASE)


_UPLOADS: Final = ("upload", "uploads", "uploaded")


def sentences(text: str) -> list[str]:
    """Split at full stops, semicolons and line ends; abbreviations and file endings stay whole."""
    guarded = re.sub(r"\b(No|e\.g|i\.e|etc|vs|Mr|Ms|Dr|approx)\.", lambda match: match[0].replace(".", "\u2024"), text)
    parts = re.split(r"(?<=[.!?。])\s+|(?<=[a-z)][.])(?=[A-Z][a-z])|(?<=;)\s+|\n+", guarded)
    return [part.replace("\u2024", ".").strip() for part in parts if part and part.strip()]


def readable(text: str) -> str:
    """The text without what no reader could follow: cues are searched sentence by sentence, so these are bounded."""
    lines = sentences(text)
    if len(text) <= MAX_TEXT and all(len(line) <= MAX_SENTENCE for line in lines):
        return text
    return " ".join(line if len(line) <= MAX_SENTENCE else f"{line[:MAX_SENTENCE]}." for line in lines)[:MAX_TEXT]


def mentions(sentence: str) -> list[Mention]:
    """The variables a sentence names, in order."""
    found: list[Mention] = []
    last_end, role, uploaded = 0, None, False
    for match in _MENTION.finditer(sentence):
        names = _names(match)
        if names:
            before, after = sentence[last_end : match.start()], sentence[match.end() :]
            role = _role(before, after) or role
            cues = [cue[0] for cue in INPUT_CUE.finditer(before)]
            uploaded = cues[-1].lower().endswith(_UPLOADS) if cues else uploaded
            aside = bool(_ASIDE.search(before))
            found.append(Mention(names, _phrase_before(before), role, sentence, aside=aside, uploaded=uploaded))
            last_end = match.end()
    return found


def _names(match: re.Match[str]) -> tuple[str, ...]:
    listed = match["bracketed"] or match["bare"] or match["prose"] or match["ticked"]
    bare = [name for word in _JOINT.split(listed) if (name := word.strip(_QUOTE + " "))]
    if match["prose"] and not match["naming"].lower().startswith("variables"):
        bare = bare[:1]
    no_name = _NO_NAME if match["prose"] else _GLUE
    names: list[str] = []
    for name in bare:
        if name.lower() in no_name:
            break
        names.append(name)
    return tuple(dict.fromkeys(names))


def _role(before: str, after: str) -> Role | None:
    """By the last cue before the name, unless what follows says "as input"."""
    before = _INDIRECT.sub("", before)
    said = _AS_ROLE.match(after)
    if said:
        return "input" if said["role"].lower() == "input" else "output"
    if _DECIDES.search(before):
        return "input"
    given, made = _last(INPUT_CUE, before), _last(OUTPUT_CUE, before)
    if given == made:
        return None
    return "input" if given > made else "output"


def _last(cue: re.Pattern[str], text: str) -> int:
    return max((match.end() for match in cue.finditer(text)), default=-1)


_LEAD: Final = re.compile(
    r"^(?:[\s,;:—–-]|(?:and|or|with|the|an?|its|their|to|as|both|final|needs?|must|also|can|may|contain|only|additionally"
    r"|finally|then|be|is|are|in|of|this|user'?s?)\b)+",
    re.IGNORECASE,
)
# "a cover image into an output called x", "a draft, stored in the variable y": the phrase ends before the place.
_PLACE: Final = re.compile(
    r",?\s+(?:(?:goes|(?:is |be )?(?:stored|put|saved|written|kept))\s+)?(?:in)?(?:to|as|in|under)\s+(?:the|an?)\s+"
    r"(?:\w+\s+)?(?:outputs?|inputs?|variables?|fields?)?\s*$",
    re.IGNORECASE,
)
_CONJUNCT: Final = re.compile(r",?\s+and\s+(?:the|an?)\s+")  # in "the story and the cover" the name is the last one's


def _phrase_before(before: str) -> str:
    """The noun phrase that stands before a name: what follows the last cue that leaves anything."""
    before = _PLACE.sub("", before)
    cuts = sorted(match.end() for cue in (INPUT_CUE, OUTPUT_CUE) for match in cue.finditer(before))
    for cut in reversed(cuts or [0]):
        phrase = _LEAD.sub("", before[cut:]).strip(" ,;:—–-(\"'`")
        if phrase:
            return _CONJUNCT.split(phrase)[-1][:MAX_DESCRIPTION]
    return ""


# ---- comparing phrases -----------------------------------------------------------------------------------------------

_HEAD_END: Final = any_of(
    "of|for|from|in|containing|about|to|that|which|with|on|by|based|as|using|needing|whose|where|who|is|are|into"
)
_COLLECTION: Final = words("list set collection batch series group folder bunch array several multiple")
_FILLERS: Final = words(
    "a an and are as at be been by can for from has have in into is it its must need needs of on or should the",
    "their then this that these those to user users was were which will with workflow task existing foundation",
    "based file files variable variables output outputs input inputs final only also result results generated",
    "corresponding branch",
)
_ENDINGS: Final = ("ing", "ed", "es", "s", "ion")
_STEM_LENGTH: Final = 4


def head(phrase: str) -> str:
    """The noun a phrase is about: "an image of a ticket" is an image, "a list of papers" are papers."""
    first, *rest = _HEAD_END.split(phrase.lower(), maxsplit=1)
    found = re.findall(r"[a-z][a-z-]*", first) or re.findall(r"[a-z][a-z-]*", phrase.lower())
    noun = found[-1] if found else ""
    return head(rest[0]) if noun in _COLLECTION and rest else noun


def words_of(text: str) -> set[str]:
    """The content words of a text, bare of endings, for comparing phrases."""
    found = re.findall(r"[a-z][a-z0-9]+", text.lower().replace("_", " "))
    return {_stem(word) for word in found if word not in _FILLERS}


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _STEM_LENGTH:
            return word.removesuffix(ending)
    return word


def overlap(phrase: str, other: str) -> float:
    """How much of the phrase's content words the other text has, 0 to 1."""
    wanted = words_of(phrase)
    return len(wanted & words_of(other)) / len(wanted) if wanted else 0.0
