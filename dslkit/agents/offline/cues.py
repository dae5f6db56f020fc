"""Which kind of work a text asks for."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline.words import any_of, anywhere, mentions, sentences

if TYPE_CHECKING:
    from dslkit.agents.offline.state import Variable

MAX_FIELDS: Final = 30

TEMPLATE: Final = any_of("templates?|jinja2?")
SEARCH: Final = any_of(
    "google|search(?:es)? (?:the |on the )?(?:web|internet|online)|web search|online search|search engine",
    "search online|search(?:es|ing)? for|latest (?:news|information)|look(?:s|ing)? up",
)
WEB_PAGE: Final = any_of(
    "web ?pages?|web ?sites?|html|articles? (?:at|on|from|behind)|regular expressions?|regex",
)
CALLS_API: Final = any_of(r"APIs?|HTTP|crawl\w*|scrap(?:e|es|ing)")
LITERAL_ADDRESS: Final = re.compile(r"https?://[^\s'\"<>）)，,]+[^\s'\"<>）)，,.]")
FIELDS: Final = any_of(
    r"parameter extract\w*|extract\w*\s+[\w' -]{2,40},\s+[\w' -]{2,40},?\s+and",
    r"extract\w*\b[^.;]{0,60}\b(?:fields?|parameters?|elements|entities|attributes|details)\b[^.;]{0,30}"
    r"\bfrom\b[^.;]{0,30}\b(?:inputs?|instruction|request|message|text|description|query|user|requirement)",
)
ITERATE: Final = any_of(
    r"iterat\w*|one by one|one at a time|one after another|(\w+) by \1|loops? (?:through|over)|in (?:a )?batch(?:es)?",
    "for (?:each|every) (?:chapter|section|keyword|topic|item|entry|row|line|link|url|point|heading|question)",
)
SPLIT: Final = any_of(r"(?:split|divid|separat|break)\w*\s+(?:up\s+)?(?:the\s+|this\s+)?(?P<what>\w+)")
FILTER: Final = any_of(r"list operator|filter\w*|only (?:keep|the|process|handle)|sort\w*")
FIRST_FEW: Final = any_of(r"(?:first|top)\s+(?P<count>\d+|two|three|four|five|six|seven|eight|nine|ten)")
RUN_CODE: Final = any_of(r"(?:execut\w+|run(?:s|ning)?) (?:the |this |that )?(?:\w+ )?(?:code|program|script)")
CODE: Final = any_of(
    "code nodes?|(?:through|via|with|using|by|in) (?:a |some )?(?:python )?code(?! (?:block|fence))|python script",
    r"(?:calculat|comput)\w+",
)
MODEL: Final = any_of("language model|llm|model")
SUMS: Final = any_of(
    r"calculat\w*|comput\w*|sum(?:s|med)?|totals?|average\w*|count(?:s|ed|ing)?|group(?:ed)? by|code node|python",
    "dai?ly?|weeks?|weekly|months?|monthly|quarter(?:s|ly)?|years?|yearly",
)
REVIEW: Final = any_of(
    r"reflect\w*|review and verif\w*|self-?check\w*|critiqu\w*|critici[sz]\w*|double-?check\w*|round of review",
    "second (?:translation|draft|version|pass|round)|checked for|check for",
)
_ADDRESS: Final = anywhere(r"(?:^|_|\b)(?:urls?|links?|web ?(?:page|site)s?|web address(?:es)?|page address)(?:$|_|\b)")
_ADDRESS_END: Final = any_of("of|for|to|in|whose")
_FRAMES: Final = anywhere(  # sentences about what goes in and out and what the whole is, not about work
    r"\b(?:workflow|branch|it)\b[^.;]*\b(?:outputs?|returns?)\b",
    r"\bworkflow\b[^.;]*\bneeds? to (?:generate|produce)\b",
    r"\boutputs?\b[^.;]*\b(?:unchanged|aggregat\w*|unif\w*)|^\s*(?:also |additionally |finally,? )?outputs?\b",
    r"^\s*(?:now,? |please )?(?:remove|delete|drop|add an? (?:\w+ )?(?:branch|item|input)|change the inputs?)\b",
    r"^\s*(?:please\s+|i (?:need|want)\s+)?(?:create|build|design|make)?\s*an?\s[^.,;:]*\bworkflow\b[^.,;:]*\.?$",
)
_GIVES: Final = any_of(
    r"(?:will|can|may|also|users?|must)\b[^.;]*\b(?:provid|upload|enter|suppl|submit|giv|past|input)\w*|inputs?",
)
_WORK: Final = any_of(
    r"(?:analy|summar|translat|writ|rewrit|generat|creat|provid|conduct|review|check|express|transform|explain|retriev"
    r"|clarif|compar|evaluat|extract|aggregat|combin|polish|improv|shorten|expand|rank|scor|classif|answer|draft"
    r"|compos|modif|search)\w*",
)
_DRAWN: Final = any_of("illustration|image|picture|poster|cover|audio|charts?|mp3|speech file")
_CONVERSION: Final = any_of(
    r"(?:convert|export|chang|turn|sav)\w*\b[^.;]*\b(?:file|format|audio|pdf|docx|pptx?|md|html|markdown)s?",
)
_FIELD_LIST: Final = anywhere(
    r"\b(?:fields?|parameters?|elements|details|information)\b[^.:;]{0,60}:\s*(?P<items>[^.;]+)"
)
_QUOTED: Final = re.compile(r"['\"‘“]([^'\"’”]{2,40})['\"’”]")
_VARIABLES: Final = re.compile(r"\s*[(（](?:the )?variables?\b[^)）]*[)）]")


def task_of(text: str) -> str:
    """The text as a task for a model: what to do, without the names of variables."""
    return _VARIABLES.sub("", " ".join(_tasks(text)) or text).strip()


def asks_for_work(text: str) -> bool:
    """Whether a later round needs a model to write something, beyond new inputs, formats and outputs."""
    return any(_WORK.search(line) and not _DRAWN.search(line) and not _CONVERSION.search(line) for line in _tasks(text))


def _tasks(text: str) -> list[str]:
    """The sentences that say what to do; not those about inputs, outputs and what is taken away."""
    lines = (line for line in sentences(text) if not _FRAMES.search(line))
    return [line for line in lines if not (_GIVES.search(line) and mentions(line))]


def listed_fields(text: str) -> list[str]:
    """The fields a text names: after a colon, or in quotes."""
    match = _FIELD_LIST.search(text)
    listed = re.split(r",\s*(?:and\s+)?|\s+and\s+", match["items"]) if match else _QUOTED.findall(text)
    return [field for item in listed if (field := item.strip(" '\"‘’“”"))][:MAX_FIELDS]


def is_address(given: Variable) -> bool:
    """Whether an input is the address of a page, by its name or what it is said to be."""
    return bool(_ADDRESS.search(given.name) or _ADDRESS.search(_ADDRESS_END.split(given.description)[0]))
