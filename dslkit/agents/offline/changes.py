"""What a later round takes away, swaps or keeps of what stands so far."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import kinds
from dslkit.agents.offline.state import Variable, best
from dslkit.agents.offline.words import ALIKE, Role, any_of, anywhere, mentions, overlap, sentences, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.state import Reading

_SURELY: Final = 0.75
_HALF: Final = 0.5

_SWAP: Final = anywhere(
    r"\b(?:replace|swap|substitute|exchange|change|switch)\s+(?:the\s+)?(?P<old>[^,.;()]+?)\s*(?:\([^)]*\)\s*)?"
    r"\s(?:with|by|to|into|for)\b",
    r"\b(?:instead of|rather than)\s+(?:an?\s+|the\s+)?(?P<instead>[^,.;()]+)",
)
_REMOVE: Final = anywhere(
    r"\b(?:remove|delete|drop|discard|get rid of)\s+(?:the\s+)?(?P<what>[^,.;]+?)(?=\s+(?:and|from)\b|[,.;]|$)",
    r"\bno longer (?:necessary|needed|required)?\s*(?:to\s+)?"
    r"(?:provides?|outputs?|needs?|requires?|uses?|accepts?|asks? for)?\s*"
    r"(?:(?:the|an?)\s+)?(?P<that>[^,.;]*?)(?=\s+but\b|[,.;]|$)",
    r"\b(?P<this>(?!it\b|there\b)[\w' -]+?)\s+(?:(?:is|are) no longer|no longer needs?)\b",
)
_ITEMS: Final = re.compile(r",|\band\b|\bor\b")
_BRANCH: Final = any_of("branch(?:es)?")
_OUTPUT: Final = any_of("outputs?|generate|return")
_LISTS: Final = anywhere(
    r"\b(?:workflow|branch)\b[^.;]*\b(?:outputs?|generates?|returns?)\b", r"^\s*(?:\w+ )?(?:output|return)\b"
)
_ADDS: Final = any_of(
    "also|additional(?:ly)?|in addition|add|adds|as well|besides|extra|along with|alongside|too|another|on top",
)
_ONLY: Final = any_of("only|just|solely|nothing but")
_SCOPED: Final = any_of("in (?:this|that|such a|which) case|(?:this|that|the new) branch|for (?:this|that) branch")
_UNCHANGED: Final = any_of("unchanged|keep(?:ing)? the (?:variable )?names?|same variable")
_FORMATS: Final = anywhere(
    r"\b(?:change|replace|switch|turn)\s+(?:the\s+|all\s+|both\s+)*(?P<old>\w+)(?: files?)? (?:to|with|into|by|for)\s+"
    r"(?:an?\s+)?(?P<new>\w+)(?: files?)?",
)
_CONVERTS_ALL: Final = any_of(r"convert\w*\s+(?:all|both|each|every|the)")
FIXED: Final = anywhere(
    r"\b(?:string|text|words?|message|output|outputs|reply|return|returns)\s+(?:with\s+)?['\"‘“]([^'\"’”]+)"
)
_CHART: Final = any_of("echarts", r"draw\w*\b[^.;]*\bcharts?")
_NAMED: Final = re.compile(r"[^,()]*?\(variables?[^)]*\)")


def swap(state: Reading, line: str) -> tuple[Role, str] | None:
    """For "replace X with Y (variable y)" and "instead of X … Y (variable y)" take X away; its role and name."""
    match = _SWAP.search(line)
    if not match or not mentions(line):
        return None
    old = match["old"] or match["instead"]
    if made := best(state.wanted, old, ALIKE):
        state.drop(lambda output: output.name == made.name)
        return "output", made.name
    if given := best(state.inputs, old, ALIKE):
        state.inputs.remove(given)
        return "input", given.name
    return None


def take_away(state: Reading, lines: Sequence[str]) -> None:
    """Remove the branches, inputs, outputs and steps that a round says are no longer needed."""
    for line in lines:
        for match in _REMOVE.finditer(line):
            phrase = match["what"] or match["that"] or match["this"] or ""
            if _BRANCH.search(phrase):
                _remove_part(state, _BRANCH.sub("", phrase))
            elif phrase.strip():
                _remove(state, phrase)


def _remove(state: Reading, phrase: str) -> None:
    unwanted = [found for item in _ITEMS.split(phrase) if (found := best(state.inputs, item, ALIKE))]
    if unwanted:
        state.inputs = [given for given in state.inputs if given not in unwanted]
        return
    state.drop(lambda output: output.likeness(phrase) >= _SURELY)
    for part in state.parts:
        part.text = " ".join(line for line in sentences(part.text) if overlap(phrase, line) < ALIKE)


def _remove_part(state: Reading, phrase: str) -> None:
    """Drop the part that says most of the phrase, unless the phrase fits none."""
    found = max(state.parts, key=lambda part: overlap(phrase, part.text))
    if overlap(phrase, found.text) >= _HALF and len(state.parts) > 1:
        state.parts.remove(found)


def change_formats(state: Reading, text: str) -> None:
    """For "change the PDF files to DOCX" and "convert both into PDF files": same names, another kind."""
    change = _FORMATS.search(text)
    old, new = (kinds.file_kind(f"{change[group]} file") for group in ("old", "new")) if change else (None, None)
    if old and new:
        state.change(lambda output: output.kind == f"file:{old}", kind=f"file:{new}")
    if _CONVERTS_ALL.search(text) and _UNCHANGED.search(text) and (target := kinds.file_kind(text)):
        state.change(lambda output: output.wanted and output.kind == "text", kind=f"file:{target}")


def keep_or_drop(state: Reading, named: Sequence[Variable], lines: Sequence[str]) -> None:
    """A new list of outputs replaces the old one unless the text adds to it; "only" keeps what it describes."""
    said = [line for line in lines if _OUTPUT.search(line)]
    names = {output.name for output in named}
    if named and said and not any(_adds(line) for line in said):
        kept = names | {name for line in said if _LISTS.search(line) for name in _described(state, line)}
        state.drop(lambda output: output.name not in kept)
    for line in said if not named else ():
        fits = _described(state, line) if _ONLY.search(line) and not _UNCHANGED.search(line) else set()
        if fits:
            state.drop(lambda output, fits=fits: output.name not in fits)  # type: ignore[misc]  # bound on purpose
    state.drop(lambda output: output.name in names)


def _adds(line: str) -> bool:
    return bool(_SCOPED.search(line) or (_ADDS.search(line) and not _ONLY.search(line)))


def _described(state: Reading, line: str) -> set[str]:
    """Names of the wanted outputs that a sentence lists by description."""
    return {found.name for item in _unnamed(line) if (found := best(state.wanted, item, _HALF))}


def _unnamed(line: str) -> list[str]:
    """What a sentence lists as output without naming a variable."""
    listed = _OUTPUT.split(line, maxsplit=1)[-1]
    return [item for item in _NAMED.sub("", re.sub(r"\band\b", ",", listed)).split(",") if words_of(item)]


def outputs_of_case(state: Reading, text: str, named: list[Variable], lines: Sequence[str]) -> list[Variable]:
    """What another case makes: the outputs it names, and those of the other cases that it adds to or describes."""
    known = [output for output in state.wanted if output.name not in {one.name for one in named}]
    said = [line for line in lines if _OUTPUT.search(line)]
    scoped = [line for line in said if _SCOPED.search(line)]
    if not named:
        return [as_in(output, text) for output in known]
    if scoped:
        items = [item for line in scoped for item in _unnamed(line)]
        return [*(output for output in known if any(output.likeness(item) > 0 for item in items)), *named]
    return [*known, *named] if any(_ADDS.search(line) for line in said) else named


def as_in(output: Variable, text: str) -> Variable:
    """The same output in another case may be a fixed text, another kind of file, or a chart instead of a text."""
    ending, fixed = kinds.file_kind(text), FIXED.search(text)
    if output.kind.startswith("file:") and ending:
        return replace(output, kind=f"file:{ending}")
    if output.kind == "text" and fixed:
        return replace(output, kind=f"literal:{fixed[1]}")
    return replace(output, kind="chart") if output.kind == "text" and _CHART.search(text) else output
