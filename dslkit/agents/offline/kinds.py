"""What a named variable is: the type of an input, the kind of an output."""

from __future__ import annotations

import re
from typing import Final

from dslkit.agents.offline.wording import head

_TEXT_HEADS: Final = frozenset(
    [
        "url",
        "link",
        "address",
        "text",
        "title",
        "name",
        "topic",
        "language",
        "instruction",
        "instructions",
        "theme",
        "tone",
        "style",
        "keyword",
        "keywords",
        "question",
        "query",
        "description",
        "prompt",
        "code",
        "content",
        "word",
        "words",
        "sentence",
        "paragraph",
        "concern",
        "concerns",
        "platform",
        "type",
        "format",
        "field",
        "audience",
        "email",
        "message",
        "review",
        "comment",
        "requirement",
        "requirements",
        "idea",
        "request",
        "city",
        "date",
        "country",
    ]
)
_IMAGES: Final = frozenset(
    ["image", "picture", "photo", "photograph", "screenshot", "scan", "drawing", "logo", "poster", "illustration"]
)
_SOUND: Final = frozenset(["audio", "recording", "video", "podcast", "voice"])
_DOCUMENTS: Final = frozenset(
    [
        "file",
        "document",
        "pdf",
        "spreadsheet",
        "excel",
        "workbook",
        "attachment",
        "presentation",
        "contract",
        "resume",
        "cv",
        "invoice",
        "receipt",
        "paper",
        "thesis",
        "manuscript",
        "docx",
        "csv",
        "ebook",
    ]
)
_NUMBERS: Final = frozenset(
    ["number", "count", "quantity", "amount", "age", "threshold", "percentage", "score", "rating", "limit"]
)
_LISTS: Final = frozenset(["list", "set", "collection", "batch", "series", "group", "folder", "several", "multiple"])


def input_type(name: str, description: str, *, uploaded: bool = False) -> str:
    """Type of a start variable: string, number, boolean, file or array[file]."""
    noun = head(description) or name.lower()
    if description.lower().startswith("whether") or noun in {"flag", "switch"}:
        return "boolean"
    if noun in _NUMBERS:
        return "number"
    if noun in _TEXT_HEADS:
        return "string"
    words = set(re.findall(r"[a-z]+", f"{description} {name}".lower().replace("_", " ")))
    many = bool(words & _LISTS) or (noun.endswith("s") and noun[:-1] in _files())
    if _singular(noun) in _files() or _named_as_file(name) or (uploaded and noun):
        return "array[file]" if many else "file"
    return "string"


def media(name: str, description: str) -> frozenset[str]:
    """Which media a file holds: image, audio or document."""
    words = {_singular(word) for word in re.findall(r"[a-z]+", f"{description} {name}".lower().replace("_", " "))}
    images = bool(words & _IMAGES) or "pic" in words
    sound = bool(words & _SOUND)
    documents = bool(words & (_DOCUMENTS - {"file"})) and not (images and head(description) in _IMAGES)
    found = {kind for kind, there in (("image", images), ("audio", sound), ("document", documents)) if there}
    return frozenset(found or {"document"})


def _files() -> frozenset[str]:
    return _IMAGES | _SOUND | _DOCUMENTS


def _singular(noun: str) -> str:
    return noun.removesuffix("s")


def _named_as_file(name: str) -> bool:
    return bool(re.search(r"(?:^|_)(?:files?|pdf|docs?|documents?|images?|pics?|photos?|audio)$", name.lower()))


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
_FILE_WORD: Final = re.compile(r"\b(?:files?|documents?|attachments?|download\w*)\b", re.IGNORECASE)
_SAYS_TEXT: Final = re.compile(
    r"\b(?:text|draft|script|summary|analysis|code|prompt|description|content)\b", re.IGNORECASE
)


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
    if re.search(r"\b(?:audio|mp3|voice ?over|narration|podcast|speech file|spoken)\b", phrase) and noun != "script":
        return "audio"
    if noun in {"code", "prompt", "text", "draft", "script", "description", "summary", "analysis", "table"}:
        return "text"
    if re.search(r"\b(?:charts?|graph|plot)\b", phrase):
        return "chart"
    if re.search(r"\b(?:flow ?chart|mind ?map|diagram)\b", phrase):
        return "diagram"
    if _singular(noun) in _IMAGES | {"cover", "icon", "artwork", "banner"} or re.search(
        r"(?:^|_)(?:pic|picture|image|cover|illustration|poster)$", name
    ):
        return "image"
    return _file_output(name, description, around)


def _file_output(name: str, description: str, around: str) -> str:
    named = file_kind(description)
    if named is None and _FILE_WORD.search(description):
        named = file_kind(name.replace("_", " ") + " file") or file_kind(around)
    if (
        named is None
        and not _SAYS_TEXT.search(description)
        and re.fullmatch(r"(?:pdf|docx|pptx?|xlsx|html|md|csv)(?:_?file)?", name)
    ):
        named = file_kind(name.split("_", maxsplit=1)[0] + " file")
    return f"file:{named}" if named else "text"
