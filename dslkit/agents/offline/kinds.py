"""What a named variable is: the type and media of an input, the kind of an output."""

from __future__ import annotations

import re
from typing import Final

from dslkit.agents.offline.words import any_of, head, words

_IMAGES: Final = words("image picture photo photograph screenshot scan drawing logo poster illustration pic")
_DRAWN: Final = _IMAGES | words("cover icon artwork art banner cartoon")
_MEDIA: Final = {
    "image": _IMAGES,
    "audio": words("audio recording video podcast voice"),
    "document": words(
        "file document doc pdf spreadsheet excel workbook attachment presentation contract agreement resume cv invoice",
        "receipt paper thesis manuscript docx csv ebook certificate brochure handbook manual",
    ),
}
_FILES: Final = frozenset().union(*_MEDIA.values())
_MANY: Final = words("list set collection batch series group folder several multiple")
_NUMBERS: Final = words("number count quantity amount age threshold percentage score rating limit points")
_SWITCHES: Final = words("flag switch")
# Text even where the phrase speaks of a file: "title of the document", "summary as a PDF".
_GIVEN_TEXTS: Final = words(
    "url link address text title name topic language instruction instructions theme tone style keyword keywords",
    "question query description prompt code content word words sentence paragraph concern concerns platform type",
    "format field audience email message review comment requirement requirements idea request city date country",
)
_MADE_TEXTS: Final = words("code prompt text draft script description summary analysis table")
_PHRASES: Final = {  # kinds of output that a phrase gives away wherever the word stands
    "chart": any_of("charts?|graph|plot"),
    "diagram": any_of("flow ?chart|mind ?map|diagram"),
}
_SPOKEN: Final = any_of("audio|mp3|voice ?over|narration|podcast|speech file|spoken|recording|read aloud")
# Formats by the ending of the file: a file whenever named, or only where "file" is said as well, since a text can be
# in Markdown or HTML too.
_ALWAYS: Final = {
    "pdf": r"pdf",
    "docx": r"docx|word (?:document|file|format)|\.doc\b",
    "pptx": r"pptx?|power ?point|slide deck|slides|courseware",
    "xlsx": r"xlsx?|excel",
    "png": r"png",
}
_IF_SAID: Final = {"md": r"\.?md|markdown", "html": r"html|web ?page", "csv": "csv", "json": "json", "xml": "xml"}
_FILE_WORD: Final = any_of(r"files?|documents?|attachments?|download\w*")


def input_type(name: str, description: str, *, uploaded: bool = False) -> str:
    """Type of a start variable: string, number, boolean, file or array[file]."""
    noun = head(description) or name.lower()
    if description.lower().startswith("whether") or noun in _SWITCHES:
        return "boolean"
    if noun in _NUMBERS:
        return "number"
    is_file = uploaded or {noun.removesuffix("s"), _last(name).removesuffix("s")} & _FILES
    if noun in _GIVEN_TEXTS or not is_file:
        return "string"
    plural = noun.endswith("s") and noun.removesuffix("s") in _FILES
    return "array[file]" if plural or _said(name, description) & _MANY else "file"


def media(name: str, description: str) -> frozenset[str]:
    """Which media a file holds: image, audio or document."""
    said = {word.removesuffix("s") for word in _said(name, description)}
    found = {kind for kind, nouns in _MEDIA.items() if said & (nouns - {"file"})}
    if "image" in found and head(description) in _IMAGES:  # a photo of a receipt is no document
        found -= {"document"}
    return frozenset(found or {"document"})


def _said(name: str, description: str) -> set[str]:
    return set(re.findall(r"[a-z]+", f"{description} {name}".lower().replace("_", " ")))


def file_kind(text: str) -> str | None:
    """The ending of the file a phrase is about, without its dot."""
    formats = _ALWAYS | _IF_SAID if _FILE_WORD.search(text) else _ALWAYS
    said = (ending for ending, form in formats.items() if re.search(rf"(?<!\w)(?:{form})(?!\w)", text, re.IGNORECASE))
    return next(said, None)


def output_kind(name: str, description: str, around: str) -> str:
    """text, image, audio, chart, diagram or file:EXT, by the phrase, then the name, then the sentences around it."""
    noun, phrase = head(description), f"{description} {name.replace('_', ' ')}".lower()
    if _SPOKEN.search(description or phrase) and noun not in {"script", "text"}:
        return "audio"
    if noun in _MADE_TEXTS:
        return "text"
    for kind, form in _PHRASES.items():
        if form.search(phrase):
            return kind
    if {noun.removesuffix("s"), _last(name)} & _DRAWN:
        return "image"
    ending = file_kind(description) or file_kind(name.replace("_", " "))
    if ending is None and (_FILE_WORD.search(phrase) or _last(name) in _IF_SAID):
        ending = file_kind(f"{_last(name)} file") or file_kind(around)
    return f"file:{ending}" if ending else "text"


def _last(name: str) -> str:
    return name.lower().rsplit("_", 1)[-1]


def may_be_file(description: str) -> bool:
    """Whether a phrase names no sort of text or number, so that it may stand for a file."""
    return head(description) not in _GIVEN_TEXTS | _NUMBERS | _MADE_TEXTS
