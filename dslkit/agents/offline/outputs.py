"""What a round says about outputs: which are new, which stay, which change their kind."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import kinds
from dslkit.agents.offline.lexicon import any_of, anywhere
from dslkit.agents.offline.reading import Output
from dslkit.agents.offline.wording import words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Part, Reading
    from dslkit.agents.offline.wording import Mention

_HALF: Final = 0.5

_VERB: Final = any_of("outputs?|generate|return")
_LISTS: Final = anywhere(
    r"\b(?:workflow|branch)\b[^.;]*\b(?:outputs?|generates?|returns?)\b",
    r"^\s*(?:\w+ )?(?:output|return)\b",
)
_ADDS: Final = any_of(
    "also|additional(?:ly)?|in addition|add|adds|as well|besides|extra|along with|alongside|too|another|on top",
)
_ONLY: Final = any_of("only|just|solely|nothing but")
_SCOPED: Final = any_of("in (?:this|that|such a|which) case|(?:this|that|the new) branch|for (?:this|that) branch")
_UNCHANGED: Final = any_of("unchanged|keep(?:ing)? the (?:variable )?names?|same variable")
_FORMAT_CHANGE: Final = anywhere(
    r"\b(?:change|replace|switch|turn)\s+(?:the\s+|all\s+|both\s+)*(?P<old>\w+)(?: files?)? (?:to|with|into|by|for)\s+"
    r"(?:an?\s+)?(?P<new>\w+)(?: files?)?",
)
_CONVERTS_ALL: Final = any_of(r"convert\w*\s+(?:all|both|each|every|the)")
_LITERAL: Final = re.compile(r"\b(?:string|text|words?)\s+['\"‘“]([^'\"’”]+)")
_EXTRACTED: Final = any_of(r"extract\w*|fields?")
_ECHARTS: Final = any_of("echarts")
_NAMED: Final = re.compile(r"[^,()]*?\(variables?[^)]*\)")
_MAKES: Final = r"\b(?:generat|creat|produc|output|draw|return|add|with|export|convert|sav)\w*\b"
_SUPPOSED: Final = {"image": "illustration|picture|image|poster", "audio": "audio|podcast|mp3", "chart": "chart"}


def take(state: Reading, part: Part, made: Sequence[Mention], lines: Sequence[str], *, first: bool) -> None:
    """Add what a round makes to its part, and bring the earlier outputs into line with it."""
    inputs = {given.name for given in state.inputs}
    named = [_output(mention, name, part.text) for mention in made for name in mention.names if name not in inputs]
    said = [line for line in lines if _VERB.search(line)]
    if part.case is not None:
        part.outputs.extend(_of_case(state, part, named, said))
        return
    if not first:
        _change_formats(state, part.text)
        _keep_or_drop(state, named, said)
    part.outputs.extend(named)


def _output(mention: Mention, name: str, text: str) -> Output:
    literal = _LITERAL.search(mention.description)
    if literal:
        kind = f"literal:{literal[1]}"
    elif len(mention.names) > 1 and _EXTRACTED.search(mention.description):
        kind = "field"
    else:
        kind = kinds.output_kind(name, mention.description, text)
    return Output(name, mention.description, kind)


def _keep_or_drop(state: Reading, named: Sequence[Output], said: Sequence[str]) -> None:
    """A new list of outputs replaces the old one unless the text adds to it."""
    names = {output.name for output in named}
    if named and said and not any(_adds(line) for line in said):
        kept = names | {name for line in said if _LISTS.search(line) for name in _described(state, line)}
        state.drop_outputs(lambda output: output.name not in kept)
    elif not named:
        for line in said:
            _keep_described(state, line)
    state.drop_outputs(lambda output: output.name in names)


def _adds(line: str) -> bool:
    return bool(_SCOPED.search(line) or (_ADDS.search(line) and not _ONLY.search(line)))


def _keep_described(state: Reading, line: str) -> None:
    """For "only output the translated text" keep the outputs that this describes, if it describes any."""
    if _ONLY.search(line) and not _UNCHANGED.search(line):
        fits = _described(state, line)
        if fits:
            state.drop_outputs(lambda output: output.name not in fits)


def _described(state: Reading, line: str) -> set[str]:
    """Names of the wanted outputs that a sentence lists by description."""
    found = set()
    for item in _unnamed(line):
        best = max(state.wanted, key=lambda one: one.likeness(item), default=None)
        if best and best.likeness(item) >= _HALF:
            found.add(best.name)
    return found


def _unnamed(line: str) -> list[str]:
    """What a sentence lists as output without naming a variable."""
    listed = _VERB.split(line, maxsplit=1)[-1]
    bare = _NAMED.sub("", re.sub(r"\band\b", ",", listed))
    return [item for item in bare.split(",") if words_of(item)]


def _change_formats(state: Reading, text: str) -> None:
    """For "change the PDF files to DOCX" and "convert both into PDF files": same names, another kind."""
    change = _FORMAT_CHANGE.search(text)
    old, new = (kinds.file_kind(f"{change[group]} file") for group in ("old", "new")) if change else (None, None)
    target = kinds.file_kind(text) if _CONVERTS_ALL.search(text) and _UNCHANGED.search(text) else None
    for part in state.parts:
        if old and new:
            part.change(lambda output: output.kind == f"file:{old}", kind=f"file:{new}")
        if target:
            part.change(lambda output: output.wanted and output.kind == "text", kind=f"file:{target}", own_text=True)


# ---- outputs of one case ---------------------------------------------------------------------------------------------


def _of_case(state: Reading, part: Part, named: list[Output], said: Sequence[str]) -> list[Output]:
    """What a case makes: the outputs it names, and those of the other cases that it only describes."""
    known = [output for output in state.wanted if output.name not in {one.name for one in named}]
    if not named:
        return [_as_here(output, part.text) for output in known]
    scoped = [line for line in said if _SCOPED.search(line)]
    if not scoped:
        return [*known, *named] if any(_ADDS.search(line) for line in said) else named
    if all(output.kind.startswith("literal:") for output in named):
        return named
    items = [item for line in scoped for item in _unnamed(line)]
    return [*(output for output in known if _is_meant(output, items, known)), *named]


def _is_meant(output: Output, items: Sequence[str], known: Sequence[Output]) -> bool:
    """Whether a list such as "the story and the cover" means this output: by its words, or as the main text."""
    if output.kind != "text":
        return any(output.likeness(item) > 0 for item in items)
    return bool(items) and output == [one for one in known if one.kind == "text"][-1]


def _as_here(output: Output, text: str) -> Output:
    """The same output in another case may be another kind of file, or a chart instead of a text."""
    if output.kind == "text" and _ECHARTS.search(text):
        return replace(output, kind="chart")
    ending = kinds.file_kind(text)
    return replace(output, kind=f"file:{ending}") if ending and output.kind.startswith("file:") else output


def supposed(text: str) -> list[Output]:
    """What a text that names no output asks for: a text, and whatever kinds it speaks of making."""
    found = [Output("result", "result", "text")]
    for kind, said in _SUPPOSED.items():
        if re.search(rf"{_MAKES}[^.;]*\b(?:{said})", text, re.IGNORECASE):
            found.append(Output(kind, kind, kind))
    ending = kinds.file_kind(text)
    if ending and re.search(_MAKES, text, re.IGNORECASE):
        found.append(Output("file", f"{ending} file", f"file:{ending}"))
    return found
