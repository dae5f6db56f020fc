"""Lays the nodes of one part: its steps, and what it makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import borrowing, cues, drawing
from dslkit.agents.offline.drafting import Value
from dslkit.agents.offline.iterating import through_files, through_items
from dslkit.agents.offline.lexicon import any_of, anywhere
from dslkit.agents.offline.sources import fetch
from dslkit.agents.offline.wording import overlap
from dslkit.agents.offline.workbench import START, Workbench, field_name, start_value, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Output, Part

LITERAL: Final = "literal:"

_DRAWING_STEP: Final = any_of(
    r"(?:generat\w+|draw|creat\w+)\b[^.;]*\b(?:image|illustration|picture|chart|audio|poster)\b(?! description)",
)
_RESULT_OF_A_RUN: Final = any_of(r"(?:execut\w+|run) result|results? of")
_FOR_CODE: Final = anywhere("input|case|argument|data")
_CHECK: Final = (
    "Check the result against the task and its sources: quote what is wrong, missing or clumsy, and mend it."
)
_REVISE: Final = "Revise the result by the remarks of the check and give the revised result alone."


def make(bench: Workbench, part: Part, *, first: bool) -> None:
    """Lay a part.  ``first`` parts always have work of their own; a later one may only change the form of a result."""
    bench.ran = None
    _extract_fields(bench, part)
    if cues.EXTRACT_ADDRESS.search(part.text):
        found = bench.extract(bench.main_text(), [("address in the text", "url", "string")], "Find the address")
        bench.materials.append(fetch(bench, found["url"], part.text))
    _lay_literals(bench, part)
    texts = [output for output in part.outputs if output.kind == "text" or output.own_text]
    if texts or _has_work(part, first=first):
        _write_texts(bench, part, texts)
    for output in part.outputs:
        if output.kind in drawing.KINDS:
            drawing.draw(bench, part, output)
    _note_files(bench, part)


def _has_work(part: Part, *, first: bool) -> bool:
    """Whether a part without a text output needs a model to write something."""
    if part.outputs and all(output.kind in drawing.KINDS or output.kind.startswith(LITERAL) for output in part.outputs):
        return False
    return first or (not part.source_only and cues.asks_for_work(part.text))


def _lay_literals(bench: Workbench, part: Part) -> None:
    """Outputs that are a fixed text."""
    for output in part.outputs:
        if output.kind.startswith(LITERAL):
            param = {"variables": [], "template": output.kind.removeprefix(LITERAL)}
            bench.made[output.name] = Value("output", bench.draft.add("template-transform", "Fixed answer", param))


def _extract_fields(bench: Workbench, part: Part) -> None:
    """Named fields out of the first text at hand; where outputs are such fields, under their names."""
    outputs = [output for output in part.outputs if output.kind == "field"]
    charts = any(output.kind == "chart" for output in part.outputs)
    if not outputs and (charts or not cues.FIELDS.search(part.text) or not (bench.materials or bench.texts)):
        return
    named = [(output.description or output.name, output.name, "string") for output in outputs]
    listed = [(said, field_name(said), "string") for said in cues.listed_fields(cues.task_of(part.text))]
    key = [("the key information the task needs", "key_information", "string")]
    values = bench.extract(bench.source(), named or listed or key, "Extract the fields")
    bench.made |= {output.name: values[output.name] for output in outputs}
    bench.materials.extend(values.values())


# ---- texts -----------------------------------------------------------------------------------------------------------


def _write_texts(bench: Workbench, part: Part, texts: Sequence[Output]) -> None:
    _compute(bench, part)
    before = len(bench.texts)
    if len(texts) <= 1:
        value = _work(bench, part, texts)
        if texts:
            _record(bench, texts[0], value)
        else:
            _rework(bench, value)
        return
    if bench.lists or len(cues.steps(part.text)) > 1:
        _work(bench, part, texts)
    steps = bench.texts[before:] or None
    for output in texts:
        _record(bench, output, _one_of_several(bench, part, output, steps))


def _one_of_several(bench: Workbench, part: Part, output: Output, steps: Sequence[Value] | None) -> Value:
    """A text of its own for each output, all made from the same steps where there are any."""
    if cues.RUN_CODE.search(part.text) and bench.texts and _RESULT_OF_A_RUN.search(output.description):
        return bench.ran or _run_code(bench)
    said = output.description or output.name.replace("_", " ")
    bench.texts.append(
        bench.write(f"{cues.task_of(part.text)}\n\nGive only this: {said}.", title_of(said), texts=steps)
    )
    return bench.texts[-1]


def _record(bench: Workbench, output: Output, value: Value) -> None:
    if output.own_text:
        bench.files.append((output, value))
    bench.made[output.name] = value


def _rework(bench: Workbench, value: Value) -> None:
    """Work without an output of its own improves the latest text, and the files made of it."""
    names = [output.name for output in bench.reading.wanted if output.kind == "text" and output.name in bench.made]
    if names:
        old = bench.made[names[-1]]
        bench.made[names[-1]] = value
        bench.files = [(output, value if source == old else source) for output, source in bench.files]


def _work(bench: Workbench, part: Part, texts: Sequence[Output]) -> Value:
    """Lay the steps of a part, each reading the results before it; the last one's text."""
    if bench.lists:
        bench.texts.append(through_files(bench, bench.lists.pop(0), part.text))
        return bench.texts[-1]
    written = _lay_steps(bench, part, texts)
    if cues.REVIEW.search(part.text):
        written = [_reviewed(bench, part)]
    if cues.TEMPLATE.search(part.text) and written and written[-1].name != "output":
        bench.texts.append(bench.fill_template(written, "Put together"))
    return bench.main_text()


def _lay_steps(bench: Workbench, part: Part, texts: Sequence[Output]) -> list[Value]:
    """One node, or one iteration, a step; what puts together or draws is laid elsewhere."""
    steps = cues.steps(part.text)
    title = part.case or (texts[0].description if texts else "") if len(steps) == 1 else ""
    images = bench.images if cues.asks_to_look(part.text) else []
    written: list[Value] = []
    for place, step in enumerate(steps):
        last = place == len(steps) - 1
        if (written and last and cues.TEMPLATE.search(step)) or (place and _DRAWING_STEP.search(step)):
            continue
        if written and _describes_image(part, step):
            bench.prompt = bench.write(step, "Prompt of the image")
            continue
        if cues.RUN_CODE.search(step) and bench.texts:
            bench.ran = _run_code(bench)
            written.append(bench.ran)
        elif cues.ITERATE.search(step):
            written.append(through_items(bench, step))
        else:
            task = f"{step}\n\nThe result: {texts[0].description}." if last and texts and texts[0].description else step
            written.append(bench.write(task, title_of(title or step), images=images))
        bench.texts.append(written[-1])
    return written


def _describes_image(part: Part, step: str) -> bool:
    """A step that describes the image to be drawn gives no text of the part, unless that is what it outputs."""
    draws = any(output.kind == "image" for output in part.outputs)
    texts = (f"{output.name} {output.description}" for output in part.outputs if output.kind == "text")
    return draws and bool(cues.IMAGE_PROMPT.search(step)) and not any(cues.IMAGE_PROMPT.search(text) for text in texts)


def _reviewed(bench: Workbench, part: Part) -> Value:
    """The latest text, criticised and revised."""
    draft, task = bench.main_text(), cues.task_of(part.text)
    remarks = bench.write(f"{_CHECK}\n\nThe task: {task}", "Check the result", texts=[draft])
    bench.texts.append(bench.write(f"{_REVISE}\n\nThe task: {task}", "Revise the result", texts=[draft, remarks]))
    return bench.texts[-1]


# ---- code ------------------------------------------------------------------------------------------------------------


def _compute(bench: Workbench, part: Part) -> None:
    """What the text wants computed is done in code; the model then reads it beside the rest."""
    charts = any(output.kind == "chart" for output in part.outputs)
    if bench.lists or charts or bench.has("code") or cues.RUN_CODE.search(part.text) or not cues.CODE.search(part.text):
        return
    source = bench.materials[-1] if bench.materials else bench.main_text()
    param = borrowing.code(part.text, bench.patterns, gives=["string"])
    if param:
        bench.materials.extend(bench.compute(param, [source], "Computed"))


def _run_code(bench: Workbench) -> Value:
    """Run the code of the latest text in Dify's sandbox, on whatever input a user may give it."""
    given = [start_value(one) for one in bench.reading.string_inputs() if _FOR_CODE.search(one.name)][:1]
    purpose = "run a Python program and give what it prints"
    param = borrowing.code(purpose, gives=["string"], takes=1 + len(given))
    assert param is not None  # the shipped patterns have both
    return bench.compute(param, [bench.texts[-1], *given], "Run the code")[0]


# ---- files -----------------------------------------------------------------------------------------------------------


def _note_files(bench: Workbench, part: Part) -> None:
    """Files and audio are made of the part's own text at the end, so that later rounds still improve it."""
    outputs = [o for o in part.outputs if (o.kind.startswith("file:") or o.kind == "audio") and not o.own_text]
    kinds = [output.kind for output in outputs]
    own = [bench.made[o.name] for o in part.outputs if o.kind == "text" and o.name in bench.made]
    for output in outputs:
        best = max(own, key=lambda value: overlap(output.description, value.label), default=bench.main_text())
        if best.node == START or kinds.count(output.kind) > 1:
            said = output.description or output.name.replace("_", " ")
            best = bench.write(f"{cues.task_of(part.text)}\n\nGive only this: {said}.", title_of(said))
        bench.files.append((output, best))


def finish(bench: Workbench) -> None:
    """Lay what is made of finished texts: files and audio."""
    laid: dict[tuple[str, Value], Value] = {}
    for output, source in bench.files:
        if output.wanted:
            key = (output.kind, source)
            laid[key] = laid.get(key) or _file(bench, output, source)
            bench.made[output.name] = laid[key]
    bench.files.clear()


def _file(bench: Workbench, output: Output, source: Value) -> Value:
    if output.kind == "audio":
        return Value("files", bench.draft.add("tts", "Read aloud", {"text": source.text}, [source]), "Audio")
    ending = output.kind.removeprefix("file:")
    param = {"target_type": ending, "md_text": source.text}
    return Value("files", bench.draft.add("markdown-exporter", f"Make the {ending} file", param, [source]), ending)
