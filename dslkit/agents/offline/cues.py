"""Which kind of work a text asks for."""

from __future__ import annotations

import re
from typing import Final

from dslkit.agents.offline.wording import mentions, sentences

TEMPLATE: Final = re.compile(r"\btemplates?\b|\bjinja2?\b", re.IGNORECASE)
SEARCH: Final = re.compile(
    r"\b(?:google|search(?:es)? (?:the |on the )?(?:web|internet|online)|web search|online search|search engine|search online"
    r"|search(?:es|ing)? for|latest (?:news|information)|look(?:s|ing)? up)\b",
    re.IGNORECASE,
)
WEB_PAGE: Final = re.compile(
    r"\b(?:web ?pages?|web ?sites?|html|articles? (?:at|on|from|behind)|regular expressions?|regex)\b", re.IGNORECASE
)
WEB_ADDRESS: Final = re.compile(
    r"(?:^|_|\b)(?:urls?|links?|web ?(?:page|site)s?|web address(?:es)?|page address)(?:$|_|\b)", re.IGNORECASE
)
EXTRACT_ADDRESS: Final = re.compile(
    r"\bextract\w*\s+(?:the\s+|a\s+)?(?:urls?|links?|web ?(?:page )?address)", re.IGNORECASE
)
FIELDS: Final = re.compile(
    r"\bparameter extract\w*\b"
    r"|\bextract\w*\b[^.;]{0,60}\b(?:fields?|parameters?|elements|entities|attributes|details)\b[^.;]{0,30}\bfrom\b[^.;]{0,30}"
    r"\b(?:inputs?|instruction|request|message|text|description|query|user|requirement)",
    re.IGNORECASE,
)
ITERATE: Final = re.compile(
    r"\biterat\w*\b|\bone by one\b|\bone at a time\b|\b(\w+) by \1\b|\bloops? (?:through|over)\b|\bin (?:a )?batch(?:es)?\b"
    r"|\bfor (?:each|every) (?:chapter|section|keyword|topic|sub-?topic|item|entry|row|line|link|url|point|heading|question)\b",
    re.IGNORECASE,
)
RUN_CODE: Final = re.compile(
    r"\b(?:execut\w+|run(?:s|ning)?) (?:the |this |that )?(?:\w+ )?(?:code|program|script)\b", re.IGNORECASE
)
COMPUTE: Final = re.compile(
    r"\b(?:calculat\w*|comput\w*|sum(?:s|med)?|totals?|average\w*|count(?:s|ed|ing)?|time unit|quarter(?:s|ly)?|month(?:s|ly)?"
    r"|weekly|yearly|annual\w*|group(?:ed)? by|code node|python)\b",
    re.IGNORECASE,
)
CODE: Final = re.compile(
    r"\bcode nodes?\b|\b(?:through|via|with|using|by|in) (?:a |some )?(?:python )?code\b(?! (?:block|fence))|\bpython script\b"
    r"|\b(?:calculat|comput)\w+\b",
    re.IGNORECASE,
)
CALLS_API: Final = re.compile(r"\bAPIs?\b|\bHTTP\b|\bcrawl\w*\b|\bscrap(?:e|es|ing)\b", re.IGNORECASE)
LITERAL_ADDRESS: Final = re.compile(r"https?://[^\s'\"<>）)，,]+[^\s'\"<>）)，,.]")
KNOWLEDGE: Final = re.compile(r"\bknowledge (?:base|retrieval)\b", re.IGNORECASE)

_ABOUT_OUTPUT: Final = re.compile(
    r"\b(?:workflow|branch|it)\b[^.;]*\b(?:outputs?|returns?)\b|\boutputs?\b[^.;]*\b(?:unchanged|aggregat\w*|unif\w*)"
    r"|\b(?:add|append)\b[^.;]*\boutputs?\b|^\s*(?:also |additionally |finally,? )?outputs?\b",
    re.IGNORECASE,
)
_ABOUT_INPUT: Final = re.compile(
    r"\b(?:will|can|may|also|additionally|users?|must)\b[^.;]*\b(?:provides?|uploads?|enters?|supply|supplies|submits?|gives?|inputs?)\b|\binputs?\b",
    re.IGNORECASE,
)
_CHANGES: Final = re.compile(
    r"^\s*(?:now,? |please |then,? )?(?:remove|delete|drop|add an? (?:\w+ )?(?:branch|item|input|output)|change the inputs?)\b",
    re.IGNORECASE,
)
_AIM: Final = re.compile(
    r"^\s*(?:please\s+)?(?:create|build|design|make|develop|i (?:want|need))\b[^.]*\.?|\bthe task (?:is|requires|needs)[^:]*:?\s*$",
    re.IGNORECASE,
)
REVIEW: Final = re.compile(
    r"\breflect\w*\b|\breview and verif\w*|\bself-?check\w*|\bcritiqu\w*|\bcritici[sz]\w*|\bdouble-?check\w*|\bround of review\b"
    r"|\bsecond (?:translation|draft|version|pass|round)\b",
    re.IGNORECASE,
)
IMAGE_PROMPT: Final = re.compile(
    r"\b(?:image|picture|visual|illustration|scene|drawing)\w* (?:descriptions?|prompts?)\b|\bprompts?\b", re.IGNORECASE
)
_WORK: Final = re.compile(
    r"\b(?:analy\w*|summar\w*|translat\w*|writ\w*|rewrit\w*|generat\w*|creat\w*|provid\w*|conduct\w*|review\w*|check\w*|express\w*"
    r"|transform\w*|explain\w*|retriev\w*|clarif\w*|compar\w*|evaluat\w*|extract\w*|aggregat\w*|combin\w*|polish\w*|improv\w*"
    r"|shorten\w*|expand\w*|rank\w*|score\w*|classif\w*|list\w*|answer\w*|draft\w*|compos\w*|modif\w*)\b",
    re.IGNORECASE,
)
_DRAWN: Final = re.compile(
    r"\b(?:illustration|image|picture|poster|cover|audio|charts?|mp3|speech file)\b", re.IGNORECASE
)
_CONVERSION: Final = re.compile(
    r"\b(?:convert|export|chang|turn|sav)\w*\b[^.;]*\b(?:file|format|audio|pdf|docx|pptx?|md|html|markdown)s?\b",
    re.IGNORECASE,
)
_ORDINAL: Final = re.compile(
    r"(?:^|(?<=[.;:,]))\s*(?:and\s+)?(?:(?:first(?:ly)?|second(?:ly)?|third(?:ly)?|then|next|after that|afterwards|subsequently|finally|lastly)\b,?|\d{1,2}[.)](?=\s))",
    re.IGNORECASE,
)
MAX_STEPS: Final = 6


def asks_for_work(text: str) -> bool:
    """Whether a later round needs a model to write something, beyond new inputs, formats and outputs."""
    return any(_WORK.search(line) and not _DRAWN.search(line) and not _CONVERSION.search(line) for line in _tasks(text))


def _tasks(text: str) -> list[str]:
    """The sentences that say what to do; not those about inputs, outputs and what is taken away."""
    return [line for line in sentences(text) if not _is_frame(line)]


def _is_frame(line: str) -> bool:
    if _CHANGES.search(line) or _ABOUT_OUTPUT.search(line):
        return True
    return bool(mentions(line)) and bool(_ABOUT_INPUT.search(line))


def task_of(text: str) -> str:
    """The text as a task for a model: what to do, without names of variables and what looks like a reference."""
    bare = re.sub(r"\s*[(（](?:the )?variables?\b[^)）]*[)）]", "", " ".join(_tasks(text)) or text)
    return bare.replace("{{", "{ {").replace("}}", "} }").strip()


def steps(text: str) -> list[str]:
    """The steps a text counts out ("first … then … finally …"); the text itself when it counts none."""
    body = " ".join(_tasks(text)) or text
    places = [match.start() for match in _ORDINAL.finditer(body)]
    if len(places) < 2:  # noqa: PLR2004 - one "then" makes no list of steps
        return [text]
    bounds = [0, *places, len(body)]
    parts = [body[start:end].strip(" ,;") for start, end in zip(bounds, bounds[1:], strict=False)]
    opening, *counted = parts
    said = [opening] if _WORK.search(_AIM.sub("", opening)) else []
    return [part for part in [*said, *counted] if len(part.split()) > 2][:MAX_STEPS] or [text]  # noqa: PLR2004 - "1." alone says nothing


def listed_fields(text: str) -> list[str]:
    """The fields a text names: after a colon, or in quotes."""
    match = re.search(
        r"\b(?:fields?|parameters?|elements|details|information)\b[^.:;]{0,60}:\s*([^.;]+)", text, re.IGNORECASE
    )
    if match:
        listed = re.split(r",\s*(?:and\s+)?|\s+and\s+", match[1])
    else:
        listed = re.findall(r"['\"‘“]([^'\"’”]{2,40})['\"’”]", text)
    return [item.strip(" '\"‘’“”") for item in listed if item.strip(" '\"")][:30]


def asks_to_look(text: str) -> bool:
    """Whether a task is about an image that was drawn before."""
    return bool(re.search(r"\b(?:image|picture|illustration|logo|poster|drawing)\b", text, re.IGNORECASE))
