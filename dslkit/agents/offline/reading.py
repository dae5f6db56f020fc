"""Reads a requirement, round by round, into what the finished workflow has: inputs, parts, outputs, cases."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import kinds, wording
from dslkit.agents.offline.wording import Mention, Role, overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Input:
    """A start variable."""

    name: str
    description: str
    type: str
    media: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Output:
    """Something the workflow makes.  ``wanted`` is False once a later round outputs something else instead."""

    name: str
    description: str
    kind: str
    wanted: bool = True
    own_text: bool = False  # a file that was a text before: it has a text of its own


@dataclass(slots=True)
class Part:
    """What one round adds: its text, and what it makes.  ``case`` names the alternative that it belongs to."""

    text: str
    outputs: list[Output] = field(default_factory=list)
    case: str | None = None
    source_only: bool = False  # it adds another source for the same work


@dataclass(slots=True)
class Reading:
    """The state after the last round."""

    inputs: list[Input] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    other_source: str | None = None  # an input that may stand in for the first source

    @property
    def text(self) -> str:
        """All that still counts."""
        return "\n".join(part.text for part in self.parts)

    @property
    def wanted(self) -> list[Output]:
        """The outputs of the finished workflow, each name once."""
        return list({output.name: output for part in self.parts for output in part.outputs if output.wanted}.values())

    def string_inputs(self) -> list[Input]:
        """Inputs that are plain text."""
        return [given for given in self.inputs if given.type == "string"]


_REMOVE: Final = re.compile(
    r"\b(?:remove|delete|drop|discard|get rid of)\s+(?:the\s+)?(?P<what>[^,.;]+?)(?=\s+(?:and|from)\b|[,.;]|$)"
    r"|\bno longer (?:necessary|needed|required)?\s*(?:to\s+)?(?:provides?|outputs?|needs?|requires?|uses?|accepts?|asks? for)?\s*(?:(?:the|an?)\s+)?(?P<that>[^,.;]*?)(?=\s+but\b|[,.;]|$)"
    r"|\b(?P<this>(?!it\b|there\b)[\w' -]+?)\s+(?:is|are) no longer\b",
    re.IGNORECASE,
)
_REPLACE_INPUT: Final = re.compile(
    r"\b(?:change|replace|switch|modify|unify|turn)\w*\b[^.;]*\binputs?\b|^\s*(?:now,?\s+)?the inputs?\s+(?:can|may|will|should|must|is|are|becomes?|now)\b"
    r"|\binstead of\b[^.;]*\binput",
    re.IGNORECASE,
)
_ADDS: Final = re.compile(
    r"\b(?:also|additional(?:ly)?|in addition|add|adds|as well|besides|extra|along with|alongside|too|another|on top)\b",
    re.IGNORECASE,
)
_ONLY: Final = re.compile(r"\b(?:only|just|solely|nothing but)\b", re.IGNORECASE)
_SCOPED: Final = re.compile(
    r"\b(?:in (?:this|that|such a|which) case|(?:this|that|the new) branch|for (?:this|that) branch)\b", re.IGNORECASE
)
_UNCHANGED: Final = re.compile(r"\b(?:unchanged|keep(?:ing)? the (?:variable )?names?|same variable)\b", re.IGNORECASE)
_BRANCH: Final = re.compile(
    r"\b(?:branch|additional type|new type|another type|type based on|new case|additional case)\b", re.IGNORECASE
)
_CHOICE: Final = re.compile(
    r"\b(?:if|in this case|when the|classif\w+|distinguish\w*|intent\w*|identify\w*|otherwise|can also|may also|either|categor\w+"
    r"|type|aggregat\w+|invalid|article|depending)\b",
    re.IGNORECASE,
)
_PARALLEL: Final = re.compile(
    r"\b(?:from the (?:original|same)|respectively|in parallel|simultaneously|at the same time)\b", re.IGNORECASE
)
_FORMAT_CHANGE: Final = re.compile(
    r"\b(?:change|replace|switch|turn)\s+(?:the\s+|all\s+|both\s+)*(?P<old>\w+)(?: files?)? (?:to|with|into|by|for)\s+(?:an?\s+)?(?P<new>\w+)(?: files?)?",
    re.IGNORECASE,
)


_SWAP: Final = re.compile(
    r"\b(?:replace|swap|substitute|exchange|change|switch)\s+(?:the\s+)?(?P<old>[^,.;()]+?)\s*(?:\([^)]*\)\s*)?\s(?:with|by|to|into|for)\b",
    re.IGNORECASE,
)


def read(rounds: Sequence[str]) -> Reading:
    """Follow the rounds in order; what a later one changes counts as it says."""
    state = Reading()
    for number, text in enumerate(rounds):
        _follow(state, text, first=number == 0)
    if not state.inputs:
        state.inputs.append(_supposed_input(state.text))
    if not state.wanted:
        state.parts[-1].outputs.extend(_supposed_outputs(state.parts[-1].text))
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
    part = Part(text)
    if replaced and re.search(r"\btask\b", text, re.IGNORECASE):
        state.parts[0] = Part(text, state.parts[0].outputs)
        part = state.parts[0]
    elif first or not _is_alternative(state, text, given):
        state.parts.append(part)
    else:
        _open_case(state, part, given)
    made = [mention for mention in found if mention.role != "input"]
    _take_outputs(state, part, made, [line for line in lines if line not in swapped], first=first)


def _settled(mention: Mention, state: Reading, swapped: Mapping[str, tuple[Role, str]]) -> Mention:
    """Whether a variable is given or made also follows from what is known: its name, or what it stands in for."""
    if mention.sentence in swapped:
        role, gone = swapped[mention.sentence]
        return replace(mention, role=role, names=tuple(name for name in mention.names if name != gone))
    outputs = {output.name for part in state.parts for output in part.outputs}
    if mention.role == "input" and outputs & set(mention.names):
        return replace(mention, role="output")
    if mention.role is None and any(given.name in mention.names for given in state.inputs):
        return replace(mention, role="input")
    return mention


def _swap(state: Reading, line: str) -> tuple[Role, str] | None:
    """ "replace X with Y (variable y)": take X away; whether it was an input or an output, and its name."""
    match = _SWAP.search(line)
    if not match or not wording.mentions(line):
        return None
    made = next((one for one in state.wanted if _likeness(match["old"], one.name, one.description) >= 0.6), None)
    if made:
        _unwant(state, lambda output: output.name == made.name)
        return ("output", made.name)
    given = next((one for one in state.inputs if _likeness(match["old"], one.name, one.description) >= 0.6), None)
    if given:
        state.inputs.remove(given)
        return ("input", given.name)
    return None


# ---- inputs ----------------------------------------------------------------------------------------------------------


def _take_inputs(state: Reading, given: list[Mention]) -> bool:
    """Add the inputs a round names, or put them in place of the old ones; True when they replaced some."""
    known = {one.name for one in state.inputs}
    fresh = [_input(mention, name) for mention in given for name in mention.names if name not in known]
    replaced = bool(fresh) and bool(state.inputs) and any(_REPLACE_INPUT.search(mention.sentence) for mention in given)
    state.inputs = fresh if replaced else [*state.inputs, *fresh]
    return replaced


def _input(mention: Mention, name: str) -> Input:
    description = mention.description or name.replace("_", " ")
    uploaded = "upload" in mention.sentence.lower()
    kind = kinds.input_type(name, description, uploaded=uploaded)
    return Input(name, description, kind, kinds.media(name, description) if "file" in kind else frozenset())


def _supposed_input(text: str) -> Input:
    """No name is given: one input, called after what the text says is given."""
    match = re.search(
        r"\b(?:given|provides?|uploads?|enters?|takes?|accepts?|receives?|from|for)\s+(?:an?|the|some|several|their)\s+([a-z][\w -]{2,40}?)(?=[,.;]|\s(?:and|to|as|into|that|which|for|in|with)\b|$)",
        text,
        re.IGNORECASE,
    )
    phrase = match[1] if match else "request of the user"
    mention = Mention((), phrase, "input", match[0] if match else "")
    noun = wording.head(phrase)
    return _input(mention, re.sub(r"\W+", "_", noun) if match and noun else "query")


# ---- what is taken away ----------------------------------------------------------------------------------------------


def _take_away(state: Reading, lines: list[str]) -> None:
    for line in lines:
        for match in _REMOVE.finditer(line):
            phrase = next((group for group in match.groups() if group and group.strip()), "")
            if phrase:
                _remove(state, phrase)


def _remove(state: Reading, phrase: str) -> None:
    """Take away what the phrase names: a branch, an input, an output, or a step of the text."""
    if re.search(r"\bbranch(?:es)?\b", phrase, re.IGNORECASE):
        _remove_part(state, phrase)
        return
    unwanted = max(state.inputs, key=lambda one: _likeness(phrase, one.name, one.description), default=None)
    if unwanted and _likeness(phrase, unwanted.name, unwanted.description) >= 0.6:
        state.inputs.remove(unwanted)
        return
    for part in state.parts:
        for place, output in enumerate(part.outputs):
            if output.wanted and _likeness(phrase, output.name, output.description) >= 0.75:
                part.outputs[place] = replace(output, wanted=False)
        part.text = " ".join(line for line in wording.sentences(part.text) if overlap(phrase, line) < 0.6)


def _likeness(phrase: str, name: str, description: str) -> float:
    return max(
        overlap(phrase, f"{name} {description}") if wording.words_of(phrase) else 0.0, float(name in phrase.split())
    )


def _remove_part(state: Reading, phrase: str) -> None:
    """Drop the part that says most of the phrase, unless the phrase fits none."""
    wanted = re.sub(r"\bbranch(?:es)?\b", "", phrase)
    best = max(state.parts, key=lambda part: overlap(wanted, part.text), default=None)
    if best is not None and overlap(wanted, best.text) >= 0.5 and len(state.parts) > 1:
        state.parts.remove(best)


# ---- alternatives ----------------------------------------------------------------------------------------------------


def _is_alternative(state: Reading, text: str, given: list[Mention]) -> bool:
    """Whether a round adds a case of which only one runs, rather than more work for every run."""
    if not _BRANCH.search(text) and not any(part.case for part in state.parts):
        return bool(given) and bool(
            re.search(r"\b(?:can|may) (?:also|alternatively)\b|\balternatively\b", text, re.IGNORECASE)
        )
    if _PARALLEL.search(text) and not re.search(r"\bif\b", text, re.IGNORECASE):
        return False
    return bool(_CHOICE.search(text)) and bool(_BRANCH.search(text) or re.search(r"\btypes?\b|\bcase\b", text))


def _open_case(state: Reading, part: Part, given: list[Mention]) -> None:
    sources = [name for mention in given for name in mention.names if re.search(r"\b(?:can|may)\b", mention.sentence)]
    if sources and not re.search(r"\binstruct|\bintent", part.text):
        state.other_source = sources[-1]
        part.source_only = True
        state.parts.append(part)
        return
    for earlier in state.parts:
        if earlier.case is None:
            earlier.case = case_name(earlier.text)
    part.case = case_name(part.text)
    state.parts.append(part)


_CASE_FORMS: Final = (
    r"\breplace it with ([^.,;]+)",
    r"\b(?:type|category|kind|case)s?\b[^.;:—–]*?\s?(?:—|–|:| - )\s*([A-Z][^.,;]+)",
    r"\b(?:other|otherwise)\s+((?:invalid|unknown|irrelevant|unrelated)\s+\w+)",
    r"\b[Ff]or ([\w -]+?) input\b",
    r"\b[Ii]f ([^,.;]+),",
    r"\benter the ([\w -]+?) branch",
    r"\b[Tt]ransform it into an? ([\w -]{3,40})",
    r"\b(?:[Cc]reate|[Bb]uild|[Dd]esign|[Mm]ake) an? (?:workflow\s+)?(?:dedicated to|specifically for|for)?\s*(?:the\s+)?([^.,;]{3,60}?)(?: workflow)?(?=[.,;]|$)",
)


def case_name(text: str) -> str:
    """A short name of the case that a text describes."""
    for form in _CASE_FORMS:
        match = re.search(form, text)
        if match:
            return match[1].strip(" '\"")[:60]
    return " ".join(wording.sentences(text)[0].split()[:8]).strip(".,;:")


# ---- outputs ---------------------------------------------------------------------------------------------------------


def _take_outputs(state: Reading, part: Part, made: list[Mention], lines: list[str], *, first: bool) -> None:
    inputs = {given.name for given in state.inputs}
    outputs = [
        Output(name, mention.description, _kind(name, mention, part.text))
        for mention in made
        for name in mention.names
        if name not in inputs
    ]
    said = [line for line in lines if re.search(r"\b(?:outputs?|generate|return)\b", line)]
    if part.case is not None:
        part.outputs.extend(_case_outputs(state, part, outputs, said))
        return
    if not first:
        _change_formats(state, part.text)
        _keep_or_drop(state, outputs, said)
    part.outputs.extend(outputs)


def _kind(name: str, mention: Mention, text: str) -> str:
    literal = re.search(r"\b(?:string|text|words?)\s+['\"‘“]([^'\"’”]+)", mention.description)
    if len(mention.names) > 1 and re.search(r"\bextract|\bfields?\b", mention.description, re.IGNORECASE):
        return "field"
    return f"literal:{literal[1]}" if literal else kinds.output_kind(name, mention.description, text)


def _keep_or_drop(state: Reading, outputs: list[Output], said: list[str]) -> None:
    """A new list of outputs replaces the old one unless the text adds to it."""
    names = {output.name for output in outputs}
    adding = not said or any(_SCOPED.search(line) or (_ADDS.search(line) and not _ONLY.search(line)) for line in said)
    if outputs and not adding:
        kept = names | {
            found.name
            for line in said
            if _LISTS.search(line)
            for item in _unnamed(line)
            if (found := _nearest(state.wanted, item))
        }
        _unwant(state, lambda output: output.name not in kept)
    elif not outputs:
        for line in said:
            _keep_named(state, line)
    _unwant(state, lambda output: output.name in names)


_LISTS: Final = re.compile(
    r"\b(?:workflow|branch)\b[^.;]*\b(?:outputs?|generates?|returns?)\b|^\s*(?:\w+ )?(?:output|return)\b", re.IGNORECASE
)


def _unnamed(line: str) -> list[str]:
    """What a sentence lists as output without naming a variable."""
    listed = re.split(r"\b(?:outputs?|generate|return)\b", line, maxsplit=1)[-1]
    bare = re.sub(r"[^,()]*?\(variables?[^)]*\)", "", re.sub(r"\band\b", ",", listed))
    return [item for item in bare.split(",") if wording.words_of(item)]


def _keep_named(state: Reading, line: str) -> None:
    """ "only output the translated text": keep the outputs that this describes, if it describes any."""
    if not _ONLY.search(line) or _UNCHANGED.search(line):
        return
    phrase = re.split(r"\b(?:outputs?|generate|return)\b", line, maxsplit=1)[-1]
    fits = {found.name for item in re.split(r",|\band\b", phrase) if (found := _nearest(state.wanted, item))}
    if fits:
        _unwant(state, lambda output: output.name not in fits)


def _nearest(outputs: list[Output], phrase: str) -> Output | None:
    best = max(outputs, key=lambda one: overlap(phrase, f"{one.name} {one.description}"), default=None)
    return best if best and overlap(phrase, f"{best.name} {best.description}") >= 0.5 else None


def _unwant(state: Reading, condition: Callable[[Output], bool]) -> None:
    for part in state.parts:
        part.outputs = [replace(output, wanted=output.wanted and not condition(output)) for output in part.outputs]


def _change_formats(state: Reading, text: str) -> None:
    """ "convert both into PDF files", "change the PDF files to DOCX files": same names, another kind."""
    change = _FORMAT_CHANGE.search(text)
    old, new = (kinds.file_kind(f"{change[g]} file") for g in ("old", "new")) if change else (None, None)
    for part in state.parts:
        for place, output in enumerate(part.outputs):
            if new and old and output.kind == f"file:{old}":
                part.outputs[place] = replace(output, kind=f"file:{new}")
    everything = re.search(r"\bconvert\w*\s+(?:all|both|each|every|the)\b", text, re.IGNORECASE)
    target = kinds.file_kind(text)
    if everything and target and _UNCHANGED.search(text):
        for part in state.parts:
            part.outputs = [
                replace(output, kind=f"file:{target}", own_text=True)
                if output.wanted and output.kind == "text"
                else output
                for output in part.outputs
            ]


def _case_outputs(state: Reading, part: Part, outputs: list[Output], said: list[str]) -> list[Output]:
    """What a case makes: the outputs it names, and those of the other cases that it only describes."""
    known = [output for output in state.wanted if output.name not in {one.name for one in outputs}]
    scoped = [line for line in said if _SCOPED.search(line)]
    if outputs and not scoped:
        return [*known, *outputs] if any(_ADDS.search(line) for line in said) else outputs
    if not outputs:
        return [_as_described(output, part.text) for output in known]
    described = [output for output in known if _described(output, scoped, outputs, known)]
    return [*described, *outputs]


def _described(output: Output, scoped: list[str], named: list[Output], known: list[Output]) -> bool:
    """Whether "this branch outputs the story and the cover" means a known output by its kind."""
    if all(one.kind.startswith("literal") for one in named):
        return False
    rest = [item for line in scoped for item in _unnamed(line)]
    if output.kind != "text":
        return any(overlap(item, f"{output.name} {output.description}") > 0 for item in rest)
    texts = [one.name for one in known if one.kind == "text"]
    return bool(rest) and output.name == texts[-1] if texts else False


def _as_described(output: Output, text: str) -> Output:
    """The same output in another case may be another kind of file, or a chart instead of a text."""
    if output.kind == "text" and re.search(r"\becharts\b", text, re.IGNORECASE):
        return replace(output, kind="chart")
    ending = kinds.file_kind(text)
    if output.kind.startswith("file:") and ending:
        return replace(output, kind=f"file:{ending}")
    return output


def _supposed_outputs(text: str) -> list[Output]:
    """No output is named: a text, and whatever kinds the text asks for."""
    found = [Output("result", "result", "text")]
    for name, cue in (
        ("image", r"illustration|picture|image\b|poster"),
        ("audio", r"audio|podcast|mp3"),
        ("chart", r"\bchart\b"),
    ):
        if re.search(
            rf"\b(?:generat|creat|produc|output|draw|return|add|with)\w*\b[^.;]*\b(?:{cue})", text, re.IGNORECASE
        ):
            found.append(Output(name, name, name))
    ending = (
        kinds.file_kind(text)
        if re.search(r"\b(?:export|convert|generat|creat|produc|output|save|return)\w*\b", text)
        else None
    )
    if ending:
        found.append(Output("file", f"{ending} file", f"file:{ending}"))
    return found
