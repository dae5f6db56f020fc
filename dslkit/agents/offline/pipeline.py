"""From a reading to a plan: what makes the inputs readable, the parts in order, cases and their merging, ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from dslkit.agents.offline import cues
from dslkit.agents.offline.bench import Bench, start_value
from dslkit.agents.offline.cases import decide, with_cases
from dslkit.agents.offline.drafting import START, Draft, Value
from dslkit.agents.offline.making import fetch, finish, make
from dslkit.agents.offline.reading import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.state import Part, Reading, Variable
    from dslkit.knowledge.patterns import Pattern

AppMode = Literal["workflow", "advanced-chat"]

Ending = dict[str, Value]


def write_plan(
    rounds: Sequence[str], patterns: Sequence[Pattern] = (), app_mode: AppMode = "workflow"
) -> dict[str, Any]:
    """The plan that meets a requirement; ``patterns`` lend prompts and code, the shipped ones when none are given."""
    reading = read(rounds)
    bench = _open(reading, patterns)
    parts = with_cases(reading)
    cases = [part for part in parts if part.case is not None]
    if len(cases) == 1:  # the others were taken away: no choice is left
        cases[0].case = None
        cases = []
    endings: list[Ending] = []
    for part in parts:
        if part.case is None:
            make(bench, part)
        elif part is cases[-1]:
            endings = _lay_cases(bench, cases)
    finish(bench)
    for ending in endings or [{}]:
        _end(bench, ending, app_mode, whole=len(endings) <= 1)
    return bench.draft.plan()


# ---- sources ---------------------------------------------------------------------------------------------------------


def _open(reading: Reading, patterns: Sequence[Pattern]) -> Bench:
    """Lay start and whatever makes the inputs readable."""
    bench = Bench(Draft([(given.name, given.kind) for given in reading.inputs]), reading, patterns)
    either = _alternatives(reading)
    if either:
        bench.materials.append(_either(bench, *either))
    # What decides or qualifies is short: it stands after the sources in a prompt.
    for given in sorted(reading.inputs, key=lambda one: one.kind in {"number", "boolean"}):
        if given in either:
            continue
        if given.kind == "array[file]":
            bench.lists.append(given)
        elif given.kind == "file" and given.media & {"image", "audio"}:
            bench.pictures.append(start_value(given))
        else:
            bench.materials.append(_readable(bench, given))
    return bench


def _alternatives(reading: Reading) -> tuple[Variable, ...]:
    """The first source and the one that may stand in for it; nothing where every input is used."""
    first = reading.inputs[0]
    other = next((given for given in reading.inputs[1:] if given.name == reading.other_source), None)
    readable = other and not any(one.kind == "array[file]" or one.media - {"document"} for one in (first, other))
    return (first, other) if other and readable else ()


def _readable(bench: Bench, given: Variable) -> Value:
    """The text of one input: of a document, of the page behind an address, or the input itself."""
    value = start_value(given)
    if given.kind == "file":
        return bench.lay("document-extractor", value.label, {"variable_selector": value.ref}, [value], "text")
    is_page = given.kind == "string" and cues.is_address(given)
    return fetch(bench, value, bench.reading.text) if is_page else value


def _either(bench: Bench, first: Variable, other: Variable) -> Value:
    """One of two sources is given: take the one that is there."""
    test = [start_value(other).ref, "exists" if other.kind == "file" else "not empty"]
    choice = bench.choose([test], f"Is {other.name} given?")
    found = []
    for port, given in enumerate((other, first)):
        with bench.draft.branch(choice, port):
            value = _readable(bench, given)
            found.append(bench.fill_template([value], f"Take {given.name}") if value.node == START else value)
    return bench.merge(found, "source text")


# ---- cases -----------------------------------------------------------------------------------------------------------


def _lay_cases(bench: Bench, cases: Sequence[Part]) -> list[Ending]:
    """Lay one branch a case; merge what several make.  Returns one ending, or one for each set of outputs."""
    node, ordered = _chooser(bench, cases)
    groups: dict[frozenset[str], list[Ending]] = {}
    for port, part in enumerate(ordered):
        with bench.draft.branch(node, port):
            branch = bench.fork()
            make(branch, part)
            finish(branch)
        result = {output.name: branch.made[output.name] for output in part.outputs if output.wanted}
        groups.setdefault(frozenset(result), []).append(result)
    endings = [
        {name: bench.merge([one[name] for one in group], name) for name in group[0]} if len(group) > 1 else group[0]
        for group in groups.values()
    ]
    if len(endings) == 1:
        for name, value in endings[0].items():
            bench.record(name, value)
        bench.texts.extend(value for value in endings[0].values() if value.name != "files")
    return endings


def _chooser(bench: Bench, cases: Sequence[Part]) -> tuple[str, Sequence[Part]]:
    """What decides, and the cases in the order of its ports: conditions on inputs, or a classifier of meaning."""
    ordered, tests = decide(bench.reading, cases)
    if tests:
        return bench.choose(tests, "Which case?"), ordered
    plain = [start_value(given) for given in bench.reading.plain_inputs if not cues.is_address(given)]
    source = plain[-1] if plain else bench.main_text()
    param = {"query_variable_selector": source.ref, "classes": [part.case for part in cases]}
    return bench.draft.add("question-classifier", "Which case?", param, [source]), ordered


# ---- ends ------------------------------------------------------------------------------------------------------------


def _end(bench: Bench, ending: Ending, app_mode: AppMode, *, whole: bool) -> None:
    """Lay an end: of the whole workflow, or of the cases that make this."""
    if whole:
        ending = {output.name: bench.made[output.name] for output in bench.reading.wanted if output.name in bench.made}
    chosen = ending or {"result": bench.main_text()}
    if app_mode == "advanced-chat":
        text = "\n\n".join(value.text for value in chosen.values())
        bench.draft.add("answer", "Answer", {"answer": text}, chosen.values())
    else:
        outputs = [[name, value.ref] for name, value in chosen.items()]
        bench.draft.add("end", "End", {"outputs": outputs}, chosen.values())
