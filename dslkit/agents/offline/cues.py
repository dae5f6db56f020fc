"""Which kind of work a text asks for, and in which steps."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from dslkit.agents.offline.lexicon import any_of, anywhere
from dslkit.agents.offline.wording import mentions, sentences

TEMPLATE: Final = any_of("templates?|jinja2?")
SEARCH: Final = any_of(
    "google|search(?:es)? (?:the |on the )?(?:web|internet|online)|web search|online search|search engine",
    "search online|search(?:es|ing)? for|latest (?:news|information)|look(?:s|ing)? up",
)
WEB_PAGE: Final = any_of(
    "web ?pages?|web ?sites?|html|articles? (?:at|on|from|behind)|regular expressions?|regex",
)
WEB_ADDRESS: Final = anywhere(
    r"(?:^|_|\b)(?:urls?|links?|web ?(?:page|site)s?|web address(?:es)?|page address)(?:$|_|\b)",
)
EXTRACT_ADDRESS: Final = any_of(r"extract\w*\s+(?:the\s+|a\s+)?(?:urls?|links?|web ?(?:page )?address)")
FIELDS: Final = any_of(
    r"parameter extract\w*",
    r"extract\w*\b[^.;]{0,60}\b(?:fields?|parameters?|elements|entities|attributes|details)\b[^.;]{0,30}"
    r"\bfrom\b[^.;]{0,30}\b(?:inputs?|instruction|request|message|text|description|query|user|requirement)",
)
ITERATE: Final = any_of(
    r"iterat\w*|one by one|one at a time|(\w+) by \1|loops? (?:through|over)|in (?:a )?batch(?:es)?",
    "for (?:each|every) (?:chapter|section|keyword|topic|sub-?topic|item|entry|row|line|link|url|point)",
    "for (?:each|every) (?:heading|question)",
)
FILTER: Final = any_of(r"list operator|filter\w*|only (?:keep|the|process|handle)|sort\w*")
RUN_CODE: Final = any_of(r"(?:execut\w+|run(?:s|ning)?) (?:the |this |that )?(?:\w+ )?(?:code|program|script)")
SUMS: Final = any_of(
    r"calculat\w*|comput\w*|sum(?:s|med)?|totals?|average\w*|count(?:s|ed|ing)?|time unit|quarter(?:s|ly)?",
    r"month(?:s|ly)?|weekly|yearly|annual\w*|group(?:ed)? by|code node|python",
)
CODE: Final = any_of(
    "code nodes?|(?:through|via|with|using|by|in) (?:a |some )?(?:python )?code(?! (?:block|fence))|python script",
    r"(?:calculat|comput)\w+",
)
CALLS_API: Final = any_of(r"APIs?|HTTP|crawl\w*|scrap(?:e|es|ing)")
LITERAL_ADDRESS: Final = re.compile(r"https?://[^\s'\"<>）)，,]+[^\s'\"<>）)，,.]")
REVIEW: Final = any_of(
    r"reflect\w*|review and verif\w*|self-?check\w*|critiqu\w*|critici[sz]\w*|double-?check\w*|round of review",
    "second (?:translation|draft|version|pass|round)",
)
IMAGE_PROMPT: Final = any_of(
    r"(?:image|picture|visual|illustration|scene|drawing)\w* (?:descriptions?|prompts?)|prompts?",
)
MAX_STEPS: Final = 6
MAX_FIELDS: Final = 30
FEWEST_WORDS: Final = 3  # "1." alone is no step

_ABOUT_OUTPUT: Final = anywhere(
    r"\b(?:workflow|branch|it)\b[^.;]*\b(?:outputs?|returns?)\b",
    r"\boutputs?\b[^.;]*\b(?:unchanged|aggregat\w*|unif\w*)",
    r"\bworkflow\b[^.;]*\bneeds? to (?:generate|produce)\b",
    r"\b(?:add|append)\b[^.;]*\boutputs?\b",
    r"^\s*(?:also |additionally |finally,? )?outputs?\b",
)
_ABOUT_INPUT: Final = anywhere(
    r"\b(?:will|can|may|also|additionally|users?|must)\b[^.;]*"
    r"\b(?:provides?|uploads?|enters?|supply|supplies|submits?|gives?|inputs?)\b",
    r"\binputs?\b",
)
_CHANGES: Final = anywhere(
    r"^\s*(?:now,? |please |then,? )?"
    r"(?:remove|delete|drop|add an? (?:\w+ )?(?:branch|item|input|output)|change the inputs?)\b",
)
_WHOLE: Final = anywhere(
    r"^\s*(?:please\s+|i (?:need|want)\s+)?(?:create|build|design|make|develop)?\s*(?:me\s+)?an?\s[^.,;:]*"
    r"\bworkflow\b[^.,;:]*\.?$",
    r"^\s*(?:modify|add|extend|change)\b[^.,;:—–]*\bexisting (?:foundation|workflow|basis)\.?$",
)
_AIM: Final = anywhere(
    r"^\s*(?:please\s+)?(?:create|build|design|make|develop|i (?:want|need))\b[^.]*\.?",
    r"\bthe task (?:is|requires|needs)[^:]*:?\s*$",
    r"\b(?:the workflow|it) needs to be able to\b[^.]*\.?",
)
_WORK: Final = any_of(
    r"(?:analy|summar|translat|writ|rewrit|generat|creat|provid|conduct|review|check|express|transform|explain|retriev)\w*",
    r"(?:clarif|compar|evaluat|extract|aggregat|combin|polish|improv|shorten|expand|rank|score|classif|list|answer)\w*",
    r"(?:draft|compos|modif)\w*",
)
_DRAWN: Final = any_of("illustration|image|picture|poster|cover|audio|charts?|mp3|speech file")
_CONVERSION: Final = any_of(
    r"(?:convert|export|chang|turn|sav)\w*\b[^.;]*\b(?:file|format|audio|pdf|docx|pptx?|md|html|markdown)s?",
)
_ORDINAL: Final = anywhere(
    r"(?:^|(?<=[.;:,])|(?<=requires)|(?<=must)|(?<=should)|(?<=needs to))\s*(?:and\s+)?"
    r"(?:(?:first(?:ly)?|second(?:ly)?|third(?:ly)?|then|next|after that|afterwards|subsequently|finally|lastly)\b,?"
    r"|\d{1,2}[.)](?=\s))",
)
_FIELD_LIST: Final = anywhere(
    r"\b(?:fields?|parameters?|elements|details|information)\b[^.:;]{0,60}:\s*(?P<items>[^.;]+)"
)
_QUOTED: Final = re.compile(r"['\"‘“]([^'\"’”]{2,40})['\"’”]")
_VARIABLES: Final = re.compile(r"\s*[(（](?:the )?variables?\b[^)）]*[)）]")
_LOOKED_AT: Final = any_of("image|picture|illustration|logo|poster|drawing")


def asks_for_work(text: str) -> bool:
    """Whether a later round needs a model to write something, beyond new inputs, formats and outputs."""
    return any(_WORK.search(line) and not _DRAWN.search(line) and not _CONVERSION.search(line) for line in _tasks(text))


def _tasks(text: str) -> list[str]:
    """The sentences that say what to do; not those about inputs, outputs and what is taken away."""
    return [line for line in sentences(text) if not _is_frame(line)]


def _is_frame(line: str) -> bool:
    if any(frame.search(line) for frame in (_CHANGES, _ABOUT_OUTPUT, _WHOLE)):
        return True
    return bool(mentions(line)) and bool(_ABOUT_INPUT.search(line))


def task_of(text: str) -> str:
    """The text as a task for a model: what to do, without the names of variables."""
    return _VARIABLES.sub("", " ".join(_tasks(text)) or text).strip()


def steps(text: str) -> list[str]:
    """The steps a task counts out ("first … then … finally …"); the task itself when it counts none."""
    task = task_of(text)
    places = [match.start() for match in _ORDINAL.finditer(task)]
    if len(places) == 1 or not places:
        return [task]
    opening, *counted = [task[start:end].strip(" ,;") for start, end in pairwise([0, *places, len(task)])]
    said = [opening] if _WORK.search(_AIM.sub("", opening)) else []
    return [step for step in [*said, *counted] if len(step.split()) >= FEWEST_WORDS][:MAX_STEPS] or [task]


def listed_fields(text: str) -> list[str]:
    """The fields a text names: after a colon, or in quotes."""
    match = _FIELD_LIST.search(text)
    listed = re.split(r",\s*(?:and\s+)?|\s+and\s+", match["items"]) if match else _QUOTED.findall(text)
    return [field for item in listed if (field := item.strip(" '\"‘’“”"))][:MAX_FIELDS]


def asks_to_look(text: str) -> bool:
    """Whether a task is about an image that was drawn before."""
    return bool(_LOOKED_AT.search(text))
