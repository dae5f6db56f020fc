"""Lays the nodes of one part, move by move; a move does nothing where the part does not ask for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dslkit.agents.offline import borrowing, cues
from dslkit.agents.offline.bench import Bench, field_name, start_value
from dslkit.agents.offline.drafting import START, Value
from dslkit.agents.offline.state import best
from dslkit.agents.offline.words import ALIKE, overlap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.state import Part, Variable

LITERAL: Final = "literal:"
DRAWN: Final = frozenset({"image", "chart", "diagram"})
CHARTS: Final = ("pie", "line", "bar")  # the last is drawn when none is named

_NUMBERS: Final = ("", "", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PROGRAM: Final = "Write the complete Python program that is to be run. Give the code alone, without a code fence."
_CHECK: Final = "Check the result against this task and its sources, and give a corrected version alone."
_DRAWING: Final = {  # what a drawing node needs written: its type and field, the word for it, and the task
    "image": ("text2image", "image_prompt", "prompt", "Write the prompt of a text-to-image model for this: {}."),
    "diagram": (
        "mermaid-converter",
        "mermaid_code",
        "code",
        "Write Mermaid code alone, without a fence, for this: {}.",
    ),
}


def make(bench: Bench, part: Part) -> None:
    """Lay what one part asks for."""
    for move in _MOVES:
        move(bench, part)


def finish(bench: Bench) -> None:
    """Lay what is made of finished texts: files and audio."""
    for output, source in bench.files:
        if output.wanted:
            ending = output.kind.removeprefix("file:")
            kind, param = "markdown-exporter", {"target_type": ending, "md_text": source.text}
            if output.kind == "audio":
                kind, param = "tts", {"text": source.text}
            bench.made[output.name] = bench.lay(kind, f"Make the {ending} file", param, [source], "files")
    bench.files.clear()


# ---- what is fetched, looked up, taken out and computed --------------------------------------------------------------


def fetch(bench: Bench, address: Value, text: str) -> Value:
    """Lay the request for a page, and code that cleans it where the text speaks of a page; what that gives."""
    body = bench.lay("http-request", "Content of the page", {"url": address.text}, [address], "body")
    clean = borrowing.code("readable text of an HTML page by regular expressions")
    return bench.compute(clean, [body], "Text of the page")[0] if cues.WEB_PAGE.search(text) else body


def _call_api(bench: Bench, part: Part) -> None:
    """Ask an API whose address only the text may name; without one a person has to put it in."""
    if bench.draft.has("http-request") or not cues.CALLS_API.search(part.text):
        return
    said = cues.LITERAL_ADDRESS.search(part.text)
    terms = [start_value(given) for given in bench.reading.plain_inputs][:1]
    url = said[0] if said else "https://example.com/" + "".join(f"?query={term.text}" for term in terms)
    title = "Answer of the API" if said else "Ask the API (set its address)"
    bench.materials.append(bench.lay("http-request", title, {"url": url}, terms, "body"))


def _search(bench: Bench, part: Part) -> None:
    title = "Search results"
    if cues.SEARCH.search(part.text) and not any(value.label == title for value in bench.materials):
        terms = [start_value(given) for given in bench.reading.plain_inputs][:2] or bench.materials[:1]
        query = {"query": " ".join(value.text for value in terms)}
        bench.materials.append(bench.lay("google-search", title, query, terms, "json"))


def _extract_fields(bench: Bench, part: Part) -> None:
    """Named fields out of the first text at hand; where outputs are such fields, under their names."""
    outputs = [output for output in part.outputs if output.kind == "field"]
    charts = any(output.kind == "chart" for output in part.outputs)
    if outputs or (cues.FIELDS.search(part.text) and not charts and (bench.materials or bench.texts)):
        named = [(output.phrase, output.name) for output in outputs]
        listed = [(said, field_name(said)) for said in cues.listed_fields(cues.task_of(part.text))]
        values = bench.extract(bench.source(), named or listed or [("the key information", "key_information")])
        bench.made |= {output.name: value for output, value in zip(outputs, values, strict=False)}
        bench.materials.extend(values)


def _compute(bench: Bench, part: Part) -> None:
    """What the text wants computed is done in code; the model then reads it beside the rest."""
    elsewhere = cues.ITERATE.search(part.text) or any(output.kind == "chart" for output in part.outputs)
    if cues.RUN_CODE.search(part.text):
        program = bench.write(f"{_PROGRAM}\n\n{cues.task_of(part.text)}", "The program")
        bench.ran = (
            program,
            *bench.compute(borrowing.code("run a Python program", runs=True), [program], "Its result"),
        )
        bench.materials.extend(bench.ran)
    elif cues.CODE.search(part.text) and not (bench.lists or part.idle or elsewhere or bench.draft.has("code")):
        source = bench.materials[-1] if bench.materials else bench.main_text()
        code = borrowing.code(part.text, bench.patterns)
        bench.materials.extend(bench.compute(code, [source], "Computed"))


# ---- texts -----------------------------------------------------------------------------------------------------------


def _fix(bench: Bench, part: Part) -> None:
    """Outputs that are a fixed text."""
    for output in part.outputs:
        if output.kind.startswith(LITERAL):
            param = {"variables": [], "template": output.kind.removeprefix(LITERAL)}
            bench.made[output.name] = bench.lay("template-transform", "Fixed answer", param, [], "output")


def _write(bench: Bench, part: Part) -> None:
    """The texts of a part; work without a text of its own improves the latest one."""
    texts = [output for output in part.outputs if output.kind == "text"]
    standing = [one.name for one in bench.reading.wanted if one.kind == "text" and one.name in bench.made]
    names = [output.name for output in texts] or standing[-1:]
    if not texts and not _has_work(bench, part):
        return
    if part.case and bench.texts and not cues.asks_for_work(part.text):
        values = [bench.fill_template([bench.main_text()], "As it stands")] * len(names)
    elif len(texts) > 1:
        if bench.lists or cues.ITERATE.search(part.text):
            _work(bench, part)
        values = [_one_of_several(bench, part, output) for output in texts]
    else:
        values = [_work(bench, part, *texts)]
    if cues.TEMPLATE.search(part.text) and values[0].name == "text":
        values[0] = bench.fill_template(values[:1], "Put together")
    for name, value in zip(names, values, strict=False):
        bench.record(name, value)
    bench.texts.extend(values)


def _has_work(bench: Bench, part: Part) -> bool:
    """Whether a part without a text output needs a model to write something."""
    kinds = [output.kind for output in part.outputs]
    if part.idle or len(set(kinds)) < len(kinds):  # several of a kind get a text each
        return False
    if kinds and all(kind in DRAWN or kind.startswith(LITERAL) for kind in kinds):
        return bool(cues.MODEL.search(part.text))
    return not bench.texts or cues.asks_for_work(part.text)


def _one_of_several(bench: Bench, part: Part, output: Variable) -> Value:
    for word, value in zip(("code", "result"), bench.ran or (), strict=False):
        if word in output.phrase:
            return value
    return bench.write(f"{cues.task_of(part.text)}\n\nGive only this: {output.phrase}.", output.phrase)


def _work(bench: Bench, part: Part, output: Variable | None = None) -> Value:
    """Lay the work of a part: on each of many files or elements, or by one model node; and its review."""
    task = cues.task_of(part.text)
    if bench.lists:
        value = _through_files(bench, bench.lists.pop(0), task)
    elif cues.ITERATE.search(part.text):
        value = _through_items(bench, task)
    else:
        value = bench.write(task, part.case or (output.phrase if output else task))
    bench.texts.append(value)
    if cues.REVIEW.search(part.text):
        bench.texts.append(bench.write(f"{_CHECK}\n\n{task}", "Check and revise"))
    return bench.texts[-1]


# ---- each of many ----------------------------------------------------------------------------------------------------


def _through_files(bench: Bench, given: Variable, task: str) -> Value:
    """Each file on its own, by what it is; the results under each other."""
    files, everything = start_value(given), bench.reading.text
    few = cues.FIRST_FEW.search(everything)
    if few:
        count = few["count"].lower()
        files = _listed(bench, files, ["limit", _NUMBERS.index(count) if count in _NUMBERS else int(count)])
    sorts = len(given.media) > 1 or (not few and cues.FILTER.search(everything))
    results = []
    for kind in sorted(given.media):
        chosen = _listed(bench, files, ["filter_by", "in", kind]) if sorts else files
        results.append(_each(bench, chosen, task, kind))
    return bench.join_lists(results)


def _listed(bench: Bench, files: Value, operator: list[Any]) -> Value:
    return bench.lay("list-operator", files.label, {"variable": files.ref, "operator": operator}, [files], "result")


def _through_items(bench: Bench, task: str) -> Value:
    """Each element of a list that a text holds: the input that is split, the latest one, or one written for it."""
    split = cues.SPLIT.search(task)
    given = best(bench.reading.plain_inputs, split["what"], ALIKE) if split else None
    if not bench.texts and not given:
        bench.texts.append(bench.write(f"{task}\n\nFirst list the elements to work on, one a line.", "The elements"))
    source = start_value(given) if given else bench.main_text()
    if cues.CODE.search(task):
        items = bench.compute(borrowing.code(task, gives=["array[string]"]), [source], "The elements")[0]
    else:
        wanted = [("the elements to work on one by one, each complete in itself", "items")]
        items = bench.extract(source, wanted, "array[string]")[0]
    return bench.join_lists([_each(bench, items, task, "element")])


def _each(bench: Bench, many: Value, task: str, kind: str) -> Value:
    """An iteration that does a task with each element; documents are read, other files looked at."""
    param: dict[str, Any] = {"iterator_selector": many.ref}
    results = bench.lay("iteration", f"Each {kind}", param, [many], "output")
    with bench.draft.inside(results.node):
        inner, item = bench.fork(), Value("item", results.node, f"The {kind}")
        if kind == "document":
            text = inner.lay("document-extractor", item.label, {"variable_selector": item.ref}, [item], "text")
            inner.materials.insert(0, text)
        elif kind == "element":
            inner.materials.insert(0, item)
        else:
            inner.pictures.append(item)
        param["output_selector"] = inner.write(task, f"Work on the {kind}").ref
    return results


# ---- what is drawn, and files ----------------------------------------------------------------------------------------


def _draw(bench: Bench, part: Part) -> None:
    for output in part.outputs:
        if output.kind == "chart":
            bench.made[output.name] = _chart(bench, part, output)
        elif output.kind in DRAWN:
            kind, field, word, task = _DRAWING[output.kind]
            texts = [
                bench.made[o.name] for o in part.outputs if o.kind == "text" and word in f"{o.name} {o.description}"
            ]
            said = (
                texts[0] if texts else bench.write(f"{task.format(output.phrase)}\n\n{cues.task_of(part.text)}", word)
            )
            bench.made[output.name] = bench.lay(kind, f"Draw the {output.kind}", {field: said.text}, [said], "files")
            bench.images += [bench.made[output.name]] if output.kind == "image" else []


def _chart(bench: Bench, part: Part, output: Variable) -> Value:
    """Labels and numbers, joined by semicolons, then the chart; code adds up where the text speaks of sums."""
    task = cues.task_of(part.text)
    labels, numbers = [*cues.listed_fields(task), "labels", "numbers"][:2]
    wanted = [
        (f"{labels}, in order, joined by ;", "labels"),
        (f"{numbers}, bare, in that order, joined by ;", "numbers"),
    ]
    source = bench.main_text() if cues.MODEL.search(part.text) else bench.source()
    data: Sequence[Value] = bench.extract(source, wanted, instruction=task)
    if cues.SUMS.search(part.text):
        purpose = f"sums of numbers by label, group or period, for a chart: {part.text}"
        data = bench.compute(
            borrowing.code(purpose, bench.patterns, gives=["string", "string"], takes=2), data, "Add up"
        )
    said = f"{output.name} {output.description} {part.text}".lower()
    kinds = sorted(CHARTS, key=lambda kind: m.start() if (m := re.search(rf"{kind}(?![a-z])", said)) else len(said))
    chosen = {"data": data[1].text, "x_axisORcategories": data[0].text, "chart_title": output.phrase[:60]}
    chosen["chart_type"] = kinds[0] if kinds[0] in said else CHARTS[-1]
    return bench.lay("echarts", "Draw the chart", chosen, data, "text")


def _note_files(bench: Bench, part: Part) -> None:
    """Files and audio are made of the part's own text at the end, so that later rounds still improve it."""
    outputs = [output for output in part.outputs if output.kind.startswith("file:") or output.kind == "audio"]
    kinds = [output.kind for output in outputs]
    own = [bench.made[o.name] for o in part.outputs if o.kind == "text" and o.name in bench.made]
    for output in outputs:
        best = max(own, key=lambda value: overlap(output.description, value.label), default=bench.main_text())
        if best.node == START or kinds.count(output.kind) > 1:
            best = _one_of_several(bench, part, output)
        bench.files.append((output, best))


_MOVES: Final = (_call_api, _search, _extract_fields, _compute, _fix, _write, _draw, _note_files)
