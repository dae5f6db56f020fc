"""What a named variable is: the type of an input, the kind of an output."""

from __future__ import annotations

import re
from typing import Final

from dslkit.agents.offline.lexicon import any_of, words
from dslkit.agents.offline.wording import head

_TEXT_HEADS: Final = words(
    "url link address text title name topic language instruction instructions theme tone style keyword keywords",
    "question query description prompt code content word words sentence paragraph concern concerns platform type",
    "format field audience email message review comment requirement requirements idea request city date country",
)
_IMAGES: Final = words("image picture photo photograph screenshot scan drawing logo poster illustration")
_DRAWN: Final = _IMAGES | words("cover icon artwork banner cartoon")
_SOUND: Final = words("audio recording video podcast voice")
_DOCUMENTS: Final = words(
    "file document pdf spreadsheet excel workbook attachment presentation contract resume cv invoice receipt paper",
    "thesis manuscript docx csv ebook",
)
_FILES: Final = _IMAGES | _SOUND | _DOCUMENTS
_NUMBERS: Final = words("number count quantity amount age threshold percentage score rating limit")
_LISTS: Final = words("list set collection batch series group folder several multiple")
_TEXTS: Final = words("code prompt text draft script description summary analysis table")
_FILE_NAME: Final = re.compile(r"(?:^|_)(?:files?|pdf|docs?|documents?|images?|pics?|photos?|audio)$")
_IMAGE_NAME: Final = re.compile(r"(?:^|_)(?:pic|picture|image|cover|illustration|poster)$")
_FORMAT_NAME: Final = re.compile(r"(pdf|docx|pptx?|xlsx|html|md|csv)(?:_?file)?")
_SPOKEN: Final = any_of("audio|mp3|voice ?over|narration|podcast|speech file|spoken")
_CHART: Final = any_of("charts?|graph|plot")
_DIAGRAM: Final = any_of("flow ?chart|mind ?map|diagram")


def input_type(name: str, description: str, *, uploaded: bool = False) -> str:
    """Type of a start variable: string, number, boolean, file or array[file]."""
    noun = head(description) or name.lower()
    if description.lower().startswith("whether") or noun in {"flag", "switch"}:
        return "boolean"
    if noun in _NUMBERS:
        return "number"
    is_file = _singular(noun) in _FILES or _FILE_NAME.search(name.lower()) or uploaded
    if noun in _TEXT_HEADS or not is_file:
        return "string"
    many = _said(name, description) & _LISTS or (noun.endswith("s") and _singular(noun) in _FILES)
    return "array[file]" if many else "file"


def media(name: str, description: str) -> frozenset[str]:
    """Which media a file holds: image, audio or document."""
    said = {_singular(word) for word in _said(name, description)}
    images = bool(said & _IMAGES) or "pic" in said
    documents = bool(said & (_DOCUMENTS - {"file"})) and not (images and head(description) in _IMAGES)
    there = {"image": images, "audio": bool(said & _SOUND), "document": documents}
    return frozenset(kind for kind, found in there.items() if found) or frozenset({"document"})


def _said(name: str, description: str) -> set[str]:
    return set(re.findall(r"[a-z]+", f"{description} {name}".lower().replace("_", " ")))


def _singular(noun: str) -> str:
    return noun.removesuffix("s")


# Words for file formats, by the ending of the file they mean.  The first group is a file whenever it is named; the
# second only where the text says "file", since a text can be in Markdown or HTML as well.
_ALWAYS_FILES: Final = {
    "pdf": r"pdf",
    "docx": r"docx|word (?:document|file|format)|\.doc\b",
    "pptx": r"pptx?|power ?point|slide deck|slides|courseware",
    "xlsx": r"xlsx?|excel",
    "png": r"png",
}
_FILES_IF_SAID: Final = {
    "md": r"\.?md|markdown",
    "html": r"html|web ?page",
    "csv": r"csv",
    "json": r"json",
    "xml": r"xml",
}
_FILE_WORD: Final = any_of(r"files?|documents?|attachments?|download\w*")
_SAYS_TEXT: Final = any_of("text|draft|script|summary|analysis|code|prompt|description|content")


def file_kind(text: str) -> str | None:
    """The ending of the file a phrase is about, without its dot."""
    for ending, form in _ALWAYS_FILES.items():
        if re.search(rf"(?<!\w)(?:{form})(?!\w)", text, re.IGNORECASE):
            return ending
    if _FILE_WORD.search(text):
        for ending, form in _FILES_IF_SAID.items():
            if re.search(rf"(?<!\w)(?:{form})(?!\w)", text, re.IGNORECASE):
                return ending
    return None


def output_kind(name: str, description: str, around: str) -> str:
    """text, image, audio, chart, diagram or file:EXT, by the phrase, then the name, then the sentences around it."""
    noun, phrase = head(description), f"{description} {name.replace('_', ' ')}".lower()
    if _SPOKEN.search(phrase) and noun != "script":
        return "audio"
    if noun in _TEXTS:
        return "text"
    if _CHART.search(phrase):
        return "chart"
    if _DIAGRAM.search(phrase):
        return "diagram"
    if _singular(noun) in _DRAWN or _IMAGE_NAME.search(name):
        return "image"
    return _file_output(name, description, around)


def _file_output(name: str, description: str, around: str) -> str:
    ending = file_kind(description)
    if ending is None and _FILE_WORD.search(description):
        ending = file_kind(name.replace("_", " ") + " file") or file_kind(around)
    format_name = _FORMAT_NAME.fullmatch(name)
    if ending is None and format_name and not _SAYS_TEXT.search(description):
        ending = file_kind(f"{format_name[1]} file")
    return f"file:{ending}" if ending else "text"
