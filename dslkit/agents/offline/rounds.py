"""Reads a requirement round by round; what a later round changes counts as it says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import kinds, outputs, wording
from dslkit.agents.offline.cases import case_name, lists_cases
from dslkit.agents.offline.lexicon import any_of, anywhere
from dslkit.agents.offline.reading import ALIKE, Input, Part, Reading
from dslkit.agents.offline.wording import Mention, Role, overlap

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SURELY_ALIKE: Final = 0.75
_HALF: Final = 0.5

_SWAP: Final = anywhere(
    r"\b(?:replace|swap|substitute|exchange|change|switch)\s+(?:the\s+)?(?P<old>[^,.;()]+?)\s*(?:\([^)]*\)\s*)?"
    r"\s(?:with|by|to|into|for)\b",
)
_REMOVE: Final = anywhere(
    r"\b(?:remove|delete|drop|discard|get rid of)\s+(?:the\s+)?(?P<what>[^,.;]+?)(?=\s+(?:and|from)\b|[,.;]|$)",
    r"\bno longer (?:necessary|needed|required)?\s*(?:to\s+)?"
    r"(?:provides?|outputs?|needs?|requires?|uses?|accepts?|asks? for)?\s*"
    r"(?:(?:the|an?)\s+)?(?P<that>[^,.;]*?)(?=\s+but\b|[,.;]|$)",
    r"\b(?P<this>(?!it\b|there\b)[\w' -]+?)\s+(?:is|are) no longer\b",
)
_ITEMS: Final = re.compile(r",|\band\b|\bor\b")
_NEW_INPUTS: Final = anywhere(
    r"\b(?:change|replace|switch|modify|unify|turn)\w*\b[^.;]*\binputs?\b",
    r"^\s*(?:now,?\s+)?the inputs?\s+(?:can|may|will|should|must|is|are|becomes?|now)\b",
    r"\binstead of\b[^.;]*\binput",
)
_BRANCH_WORD: Final = any_of("branch(?:es)?")
_BRANCH: Final = any_of("branch|additional type|new type|another type|type based on|new case|additional case")
_CASE_WORD: Final = any_of("branch|types?|case")
_CHOICE: Final = any_of(
    r"if|in this case|when the|classif\w+|distinguish\w*|intent\w*|identify\w*|otherwise|can also|may also|either",
    r"categor\w+|type|aggregat\w+|invalid|depending",
)
_PARALLEL: Final = any_of("from the (?:original|same)|respectively|in parallel|simultaneously|at the same time")
_IF: Final = any_of("if")
_MAY: Final = any_of("can|may")
_MAY_INSTEAD: Final = any_of("(?:can|may) (?:also|alternatively)|alternatively")
_BY_INTENT: Final = any_of(r"instruct\w*|intent\w*")
_TASK: Final = any_of("task")
_GIVEN: Final = anywhere(
    r"\b(?:given|provides?|uploads?|enters?|takes?|accepts?|receives?|from|for)\s+(?:an?|the|some|several|their)\s+"
    r"(?P<what>[a-z][\w -]{2,40}?)(?=[,.;]|\s(?:and|to|as|into|that|which|for|in|with)\b|$)",
)


def read(rounds: Sequence[str]) -> Reading:
    """Follow the rounds in order.  Where nothing is named, one input and one output are supposed."""
    state = Reading()
    for number, text in enumerate(rounds):
        _follow(state, wording.readable(text), first=number == 0)
    if not state.inputs:
        state.inputs.append(_supposed_input(state.text))
    if not state.wanted:
        state.parts[-1].outputs.extend(outputs.supposed(state.parts[-1].text))
    return state


def _follow(state: Reading, text: str, *, first: bool) -> None:
    lines = wording.sentences(text)
    swapped = {line: done for line in lines if not first and (done := _swap(state, line))}
    found = [_settled(mention, state, swapped) for line in lines for mention in wording.mentions(line)]
    if first and len(found) > 1 and not any(mention.role == "input" for mention in found):
        # "write a poem on a city (variable city)": with no input named otherwise, that is one.
        found = [replace(mention, role="input") if mention.aside else mention for mention in found]
    given = [mention for mention in found if mention.role == "input"]
    if not first:
        _take_away(state, lines)
    replaced = _take_inputs(state, given)
    part = _place_part(state, text, given, first=first, anew=replaced and bool(_TASK.search(text)))
    made = [mention for mention in found if mention.role != "input"]
    aside = set(swapped) | {mention.sentence for mention in given} - {mention.sentence for mention in made}
    outputs.take(state, part, made, [line for line in lines if line not in aside], first=first)


def _settled(mention: Mention, state: Reading, swapped: Mapping[str, tuple[Role, str]]) -> Mention:
    """Whether a variable is given or made also follows from what is known: its name, or what it stands in for."""
    if mention.sentence in swapped:
        role, gone = swapped[mention.sentence]
        return replace(mention, role=role, names=tuple(name for name in mention.names if name != gone))
    made = {output.name for part in state.parts for output in part.outputs}
    if mention.role == "input" and made & set(mention.names):
        return replace(mention, role="output")
    if mention.role is None and any(given.name in mention.names for given in state.inputs):
        return replace(mention, role="input")
    return mention


# ---- inputs ----------------------------------------------------------------------------------------------------------


def _take_inputs(state: Reading, given: list[Mention]) -> bool:
    """Add the inputs a round names, or put them in place of the old ones; True when they replaced some."""
    known = {one.name for one in state.inputs}
    fresh = [_input(mention, name) for mention in given for name in mention.names if name not in known]
    replaced = bool(fresh and state.inputs) and any(_NEW_INPUTS.search(mention.sentence) for mention in given)
    state.inputs = fresh if replaced else [*state.inputs, *fresh]
    return replaced


def _input(mention: Mention, name: str) -> Input:
    description = mention.description or name.replace("_", " ")
    kind = kinds.input_type(name, description, uploaded="upload" in mention.sentence.lower())
    return Input(name, description, kind, kinds.media(name, description) if "file" in kind else frozenset())


def _supposed_input(text: str) -> Input:
    """One input, called after what the text says is given."""
    match = _GIVEN.search(text)
    phrase = match["what"] if match else "request of the user"
    noun = re.sub(r"\W+", "_", wording.head(phrase), flags=re.ASCII).strip("_") if match else ""
    return _input(Mention((), phrase, "input", match[0] if match else ""), noun or "query")


# ---- what is taken away ----------------------------------------------------------------------------------------------


def _swap(state: Reading, line: str) -> tuple[Role, str] | None:
    """For "replace X with Y (variable y)" take X away; whether it was an input or an output, and its name."""
    match = _SWAP.search(line)
    if not match or not wording.mentions(line):
        return None
    made = next((one for one in state.wanted if one.likeness(match["old"]) >= ALIKE), None)
    if made:
        state.drop_outputs(lambda output: output.name == made.name)
        return ("output", made.name)
    given = next((one for one in state.inputs if one.likeness(match["old"]) >= ALIKE), None)
    if given:
        state.inputs.remove(given)
        return ("input", given.name)
    return None


def _take_away(state: Reading, lines: list[str]) -> None:
    for line in lines:
        for match in _REMOVE.finditer(line):
            phrase = match["what"] or match["that"] or match["this"] or ""
            if _BRANCH_WORD.search(phrase):
                _remove_part(state, _BRANCH_WORD.sub("", phrase))
            elif phrase.strip():
                _remove(state, phrase)


def _remove(state: Reading, phrase: str) -> None:
    """Take away what the phrase names: an input, or else outputs and steps of the text."""
    unwanted = [found for item in _ITEMS.split(phrase) if (found := _meant(state.inputs, item))]
    if unwanted:
        state.inputs = [given for given in state.inputs if given not in unwanted]
        return
    state.drop_outputs(lambda output: output.likeness(phrase) >= _SURELY_ALIKE)
    for part in state.parts:
        part.text = " ".join(line for line in wording.sentences(part.text) if overlap(phrase, line) < ALIKE)


def _meant(inputs: Sequence[Input], phrase: str) -> Input | None:
    best = max(inputs, key=lambda one: one.likeness(phrase), default=None)
    return best if best and best.likeness(phrase) >= ALIKE else None


def _remove_part(state: Reading, phrase: str) -> None:
    """Drop the part that says most of the phrase, unless the phrase fits none."""
    best = max(state.parts, key=lambda part: overlap(phrase, part.text), default=None)
    if best is not None and overlap(phrase, best.text) >= _HALF and len(state.parts) > 1:
        state.parts.remove(best)


# ---- where a round belongs -------------------------------------------------------------------------------------------


def _place_part(state: Reading, text: str, given: list[Mention], *, first: bool, anew: bool) -> Part:
    """The part of a round: the work anew, another case, or more work for every run."""
    part = Part(text)
    if anew:
        part.outputs = state.parts[0].outputs
        state.parts[0] = part
        return part
    if not first and _is_alternative(state, text, given):
        _open_case(state, part, given)
    state.parts.append(part)
    return part


def _is_alternative(state: Reading, text: str, given: list[Mention]) -> bool:
    """Whether a round adds a case of which only one runs, rather than more work for every run."""
    if not _BRANCH.search(text) and not any(part.case for part in state.parts):
        return bool(given) and bool(_MAY_INSTEAD.search(text))
    if lists_cases(text):
        return False
    if _PARALLEL.search(text) and not _IF.search(text):
        return False
    return bool(_CHOICE.search(text) and _CASE_WORD.search(text))


def _open_case(state: Reading, part: Part, given: list[Mention]) -> None:
    """Another source for the same work, or a case beside all that stands so far."""
    sources = [name for mention in given for name in mention.names if _MAY.search(mention.sentence)]
    if sources and not _BY_INTENT.search(part.text):
        state.other_source = sources[-1]
        part.source_only = True
        return
    for earlier in state.parts:
        if earlier.case is None:
            earlier.case = case_name(earlier.text)
    part.case = case_name(part.text)
