"""From a reading to a plan: sources, parts in order, cases and their merging, ends."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from dslkit.agents.offline import making
from dslkit.agents.offline.cases import Condition, condition_of, with_cases
from dslkit.agents.offline.drafting import Value
from dslkit.agents.offline.sources import deciding, open_bench
from dslkit.agents.offline.workbench import Workbench, start_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Part, Reading
    from dslkit.knowledge.patterns import Pattern

AppMode = Literal["workflow", "advanced-chat"]

Ending = dict[str, Value]


def lay(reading: Reading, patterns: Sequence[Pattern] = (), app_mode: AppMode = "workflow") -> dict[str, Any]:
    """The plan of a reading; ``patterns`` lend prompts and code, the shipped ones when none are given."""
    bench = open_bench(reading, patterns)
    parts = with_cases(reading)
    cases = [part for part in parts if part.case is not None]
    if len(cases) == 1:  # the others were taken away: no choice is left
        cases[0].case = None
        cases = []
    endings: list[Ending] = []
    for place, part in enumerate(parts):
        if part.case is None:
            making.make(bench, part, first=place == 0)
        elif part is cases[-1]:
            endings = _lay_cases(bench, cases)
    making.finish(bench)
    for ending in endings or [{}]:
        _end(bench, ending, app_mode, whole=len(endings) <= 1)
    return bench.draft.plan()


def _end(bench: Workbench, ending: Ending, app_mode: AppMode, *, whole: bool) -> None:
    values = {**bench.made, **ending} if whole else ending
    names = [output.name for output in bench.reading.wanted if output.name in values] if whole else list(ending)
    chosen = {name: values[name] for name in names} or {"result": bench.main_text()}
    if app_mode == "advanced-chat":
        text = "\n\n".join(value.text for value in chosen.values())
        bench.draft.add("answer", "Answer", {"answer": text}, chosen.values())
    else:
        outputs = [[name, value.ref] for name, value in chosen.items()]
        bench.draft.add("end", "End", {"outputs": outputs}, chosen.values())


# ---- cases -----------------------------------------------------------------------------------------------------------


def _lay_cases(bench: Workbench, cases: Sequence[Part]) -> list[Ending]:
    """Lay one branch a case; merge what several make.  Returns one ending, or one for each set of outputs."""
    ordered, condition = _decision(bench.reading, cases)
    node = _chooser(bench, ordered, condition)
    results = []
    for port, part in enumerate(ordered):
        with bench.draft.branch(node, port):
            branch = bench.fork()
            making.make(branch, part, first=not branch.texts)
            making.finish(branch)
            results.append({output.name: branch.made[output.name] for output in part.outputs if output.wanted})
    groups: dict[frozenset[str], list[Ending]] = {}
    for result in results:
        groups.setdefault(frozenset(result), []).append(result)
    endings = [_merged(bench, group) for group in groups.values()]
    if len(endings) == 1:
        bench.made |= endings[0]
        bench.texts.extend(value for value in endings[0].values() if value.name != "files")
    return endings


def _decision(reading: Reading, cases: Sequence[Part]) -> tuple[Sequence[Part], Condition | None]:
    """The cases in the order of the ports, and the condition of the first where two cases have one."""
    if len(cases) == 2:  # noqa: PLR2004 - an if-else has a case and its ELSE
        for part, other in (cases, reversed(cases)):
            condition = condition_of(reading, part.text)
            if condition:
                return (part, other), condition
    return cases, None


def _merged(bench: Workbench, results: Sequence[Ending]) -> Ending:
    """One ending of several branches that make the same outputs."""
    if len(results) == 1:
        return results[0]
    merged = {name: bench.merge([result[name] for result in results], f"Merge {name}") for name in results[0]}
    return {name: replace(value, label=name.replace("_", " ")) for name, value in merged.items()}


def _chooser(bench: Workbench, cases: Sequence[Part], condition: Condition | None) -> str:
    if condition:
        value = [] if condition.value is None else [condition.value]
        test = [start_value(condition.given).ref, condition.operator, *value]
        return bench.draft.add_after_all("if-else", "Which case?", {"cases": [[None, [test]]]})
    source = deciding(bench, "\n".join(part.text for part in cases))
    param = {"query_variable_selector": source.ref, "classes": _class_names(cases)}
    return bench.draft.add_after_all("question-classifier", "Which case?", param)


def _class_names(cases: Sequence[Part]) -> list[str]:
    names: list[str] = []
    for part in cases:
        name = part.case or "Other"
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names
