"""Reads a requirement round by round; what a later round changes counts as it says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import changes, kinds
from dslkit.agents.offline.cases import case_name, lists_cases, numbers_compared
from dslkit.agents.offline.state import Part, Reading, Variable, best
from dslkit.agents.offline.words import ALIKE, Mention, Role, any_of, anywhere, head, mentions, readable, sentences

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NEW_INPUTS: Final = anywhere(
    r"\b(?:change|replace|switch|modify|unify|turn)\w*\b[^.;]*\binput(?P<all>s)?\b",
    r"^\s*(?:now,?\s+)?the input(?P<these>s)?\s+(?:can|may|will|should|must|is|are|becomes?|now)\b",
)
_NEW_CASE: Final = any_of(
    r"branch|(?:additional|new|another|further) (?:type|kind|case)|neither|none of (?:these|them|the)"
)
_CASE_WORD: Final = any_of("branch|types?|case|neither|none of")
_CHOICE: Final = any_of(
    r"if|in this case|when the|classif\w+|distinguish\w*|intent\w*|identify\w*|otherwise|can also|may also|either",
    r"categor\w+|type|aggregat\w+|invalid|depending",
)
_PARALLEL: Final = any_of("from the (?:original|same)|respectively|in parallel|simultaneously|at the same time")
_MAY: Final = any_of("can|may")
_MAY_INSTEAD: Final = any_of("(?:can|may) (?:also|now also|alternatively)|alternatively")
_TASK: Final = any_of("task")
_MERGES: Final = any_of(r"(?:merg|aggregat|combin|unif)\w*")
_EXTRACTED: Final = any_of(r"extract\w*|fields?")
_OF_A_FILE: Final = any_of("(?:from|of|in|through|read) the (?:document|file|pdf|spreadsheet)")
_GIVEN: Final = anywhere(
    r"\b(?:given|provides?|uploads?|enters?|takes?|accepts?|receives?|from|for)\s+(?:an?|the|some|several|their)\s+"
    r"(?P<what>[a-z][\w -]{2,40}?)(?=[,.;]|\s(?:and|to|as|into|that|which|for|in|with)\b|$)",
)
_MAKES: Final = r"\b(?:generat|creat|produc|output|draw|return|add|with|export|convert|sav)\w*\b"
_COMPOSES: Final = anywhere(
    r"^\W*(?:please )?(?:write|compose|make|draw|paint|draft|create|generate|produce|design|invent|build|develop)\b",
    r"^\W*(?:please )?extract\b",
)
_SUPPOSED: Final = {"image": "illustration|picture|image|poster", "audio": "audio|podcast|mp3", "chart": "chart"}


def read(rounds: Sequence[str]) -> Reading:
    """Follow the rounds in order.  Where nothing is named, one input and one output are supposed."""
    state = Reading()
    for number, text in enumerate(rounds):
        _follow(state, readable(text), first=number == 0)
    if not state.inputs:
        state.inputs.append(_supposed_input(state.text))
    if not state.wanted:
        state.parts[-1].outputs.extend(_supposed_outputs(state.parts[-1].text))
    _fit_types(state)
    return state


def _follow(state: Reading, text: str, *, first: bool) -> None:
    lines = sentences(text)
    swapped = {line: done for line in lines if not first and (done := changes.swap(state, line))}
    found = [_settled(mention, state, swapped) for line in lines for mention in mentions(line)]
    if first and len(found) > 1 and not any(mention.role == "input" for mention in found):
        found = _worked_on(found)
    given = [mention for mention in found if mention.role == "input"]
    made = [mention for mention in found if mention.role != "input"]
    if not first:
        changes.take_away(state, lines)
    anew = _take_inputs(state, given) and bool(_TASK.search(text))
    known = {one.name for one in state.inputs}
    named = [_output(mention, name, text) for mention in made for name in mention.names if name not in known]
    aside = set(swapped) | {mention.sentence for mention in given} - {mention.sentence for mention in made}
    _place(state, text, given, named, [line for line in lines if line not in aside], first=first, anew=anew)


def _worked_on(found: list[Mention]) -> list[Mention]:
    """The variables of a text that names no input otherwise, with what the work is done on as one."""
    first, *rest = found
    if first.role is None and not _COMPOSES.match(first.sentence):
        # As in: translate a text (variable text) into English (variable english).
        return [replace(first, role="input"), *rest]
    # As in: write a poem (variable poem) on a city (variable city).
    return [replace(mention, role="input") if mention.aside else mention for mention in found]


def _settled(mention: Mention, state: Reading, swapped: Mapping[str, tuple[Role, str]]) -> Mention:
    """Whether a variable is given or made also follows from what is known: its name, or what it stands in for."""
    if done := swapped.get(mention.sentence):
        return replace(mention, role=done[0], names=tuple(name for name in mention.names if name != done[1]))
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
    new = next((match for mention in given if (match := _NEW_INPUTS.search(mention.sentence))), None)
    replaced = bool(fresh and state.inputs and new)
    if new and replaced:  # "change the input to" is about the first, what the work is done on; "inputs" about all
        state.inputs = [] if new["all"] or new["these"] else state.inputs[1:]
    state.inputs = [*fresh, *state.inputs] if replaced else [*state.inputs, *fresh]
    return replaced


def _input(mention: Mention, name: str) -> Variable:
    description = mention.description or name.replace("_", " ")
    kind = kinds.input_type(name, description, uploaded=mention.uploaded)
    return Variable(name, description, kind, kinds.media(name, description) if "file" in kind else frozenset())


def _supposed_input(text: str) -> Variable:
    """One input, called after what the text says is given."""
    match = _GIVEN.search(text)
    phrase = match["what"] if match else "request of the user"
    noun = re.sub(r"\W+", "_", head(phrase), flags=re.ASCII).strip("_") if match else ""
    uploaded = bool(match and "upload" in match[0].lower())
    return _input(Mention((), phrase, "input", "", uploaded=uploaded), noun or "query")


def _fit_types(state: Reading) -> None:
    """What is compared with a number is one; where no input is a file, "the document" is the first that can be one."""
    for phrase in numbers_compared(state.text):
        if given := best(state.plain_inputs, phrase, ALIKE):
            state.inputs[state.inputs.index(given)] = replace(given, kind="number")
    if _OF_A_FILE.search(state.text) and not any("file" in given.kind for given in state.inputs):
        unknown = [one for one in state.inputs if kinds.may_be_file(one.description)]
        for given in unknown[:1]:
            document = replace(given, kind="file", media=frozenset({"document"}))
            state.inputs[state.inputs.index(given)] = document


# ---- outputs, and where a round belongs ------------------------------------------------------------------------------


def _output(mention: Mention, name: str, text: str) -> Variable:
    if fixed := changes.FIXED.search(mention.description):
        kind = f"literal:{fixed[1]}"
    elif len(mention.names) > 1 and _EXTRACTED.search(mention.description):
        kind = "field"
    else:
        kind = kinds.output_kind(name, mention.description, text)
    return Variable(name, mention.description, kind)


def _supposed_outputs(text: str) -> list[Variable]:
    """What a text that names no output asks for: a text, and whatever kinds it speaks of making."""
    found = [Variable("result", "result", "text")]
    for kind, said in _SUPPOSED.items():
        if re.search(rf"{_MAKES}[^.;]*\b(?:{said})", text, re.IGNORECASE):
            found.append(Variable(kind, kind, kind))
    ending = kinds.file_kind(text)
    if ending and re.search(_MAKES, text, re.IGNORECASE):
        found.append(Variable("file", f"{ending} file", f"file:{ending}"))
    return found


def _place(
    state: Reading,
    text: str,
    given: list[Mention],
    named: list[Variable],
    lines: Sequence[str],
    *,
    first: bool,
    anew: bool,
) -> None:
    """The part of a round: another case, the outputs of all cases, the work anew, or more work for every run."""
    part = Part(text)
    if not first and not anew and _is_alternative(state, text, given):
        _open_case(state, part, given)
    if part.case is not None:
        part.outputs = changes.outputs_of_case(state, text, named, lines)
        state.parts.append(part)
        return
    if not first:
        changes.change_formats(state, text)
        changes.keep_or_drop(state, named, lines)
    choice = next((one for one in reversed(state.parts) if one.case or lists_cases(one.text)), None)
    if choice and named and _MERGES.search(text):
        choice.outputs = [*(output for output in choice.outputs if output.wanted), *named]
    elif anew:
        part.outputs = [*state.parts[0].outputs, *named]
        state.parts[0] = part
    else:
        part.outputs = named
        state.parts.append(part)


def _is_alternative(state: Reading, text: str, given: list[Mention]) -> bool:
    """Whether a round adds a case of which only one runs, rather than more work for every run."""
    if not _NEW_CASE.search(text) and not any(part.case for part in state.parts):
        return bool(given) and bool(_MAY_INSTEAD.search(text))
    if lists_cases(text) or _PARALLEL.search(text):
        return False
    return bool(_CHOICE.search(text) and _CASE_WORD.search(text))


def _open_case(state: Reading, part: Part, given: list[Mention]) -> None:
    """Another source for the same work, or a case beside all that stands so far."""
    sources = [name for mention in given for name in mention.names if _MAY.search(mention.sentence)]
    if sources:
        state.other_source = sources[-1]
        part.idle = True
        return
    for earlier in state.parts:
        if earlier.case is None:
            earlier.case = case_name(earlier.text)
    part.case = case_name(part.text)
