"""What is drawn: images, diagrams and charts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dslkit.agents.offline import borrowing, cues
from dslkit.agents.offline.drafting import Value
from dslkit.agents.offline.lexicon import any_of
from dslkit.agents.offline.workbench import Workbench, start_value, title_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Input, Output, Part

KINDS: Final = frozenset({"image", "chart", "diagram"})
CHARTS: Final = ("pie", "line", "bar")  # the last is drawn when none is named

_CHART_INPUT: Final = any_of("charts?|graphs?")
_IMAGE_TASK: Final = "Write the prompt for a text-to-image model that draws this: {what}. Name visible things only."
_DIAGRAM_TASK: Final = "Write the Mermaid code of this diagram: {what}. Give the code alone, without a code fence."


def draw(bench: Workbench, part: Part, output: Output) -> None:
    """Lay what draws an output of one of ``KINDS``."""
    if output.kind == "chart":
        bench.made[output.name] = _chart(bench, part, output)
    elif output.kind == "diagram":
        bench.made[output.name] = _diagram(bench, part, output)
    else:
        bench.made[output.name] = _image(bench, part, output)
        bench.images.append(bench.made[output.name])


def _diagram(bench: Workbench, part: Part, output: Output) -> Value:
    code = bench.write(_described(_DIAGRAM_TASK, part, output), "Mermaid code")
    node = bench.draft.add("mermaid-converter", "Draw the diagram", {"mermaid_code": code.text}, [code])
    return Value("files", node, "Diagram")


def _image(bench: Workbench, part: Part, output: Output) -> Value:
    """An image from a prompt: one the part already has, or one written for it."""
    prompt = bench.prompt or _prompt_among_outputs(bench, part)
    prompt = prompt or bench.write(_described(_IMAGE_TASK, part, output), "Prompt of the image")
    bench.prompt = None
    node = bench.draft.add("text2image", "Draw the image", {"image_prompt": prompt.text}, [prompt])
    return Value("files", node, "Image")


def _prompt_among_outputs(bench: Workbench, part: Part) -> Value | None:
    texts = (one for one in part.outputs if one.kind == "text" and one.name in bench.made)
    return next((bench.made[one.name] for one in texts if "prompt" in f"{one.name} {one.description}"), None)


def _described(task: str, part: Part, output: Output) -> str:
    return f"{task.format(what=output.description or output.name)}\n\nThe request: {cues.task_of(part.text)}"


# ---- charts ----------------------------------------------------------------------------------------------------------


def _chart(bench: Workbench, part: Part, output: Output) -> Value:
    """Labels and numbers out of the text, then the chart, of the kind the text names or an input chooses."""
    data = _data(bench, part)
    title = title_of(output.description or "Chart")
    chosen = next((one for one in bench.reading.string_inputs() if _chooses_chart(one)), None)
    if chosen:
        return _chosen_chart(bench, start_value(chosen), data, title)
    for text in (f"{output.name} {output.description}", part.text):
        for kind in CHARTS:
            if re.search(rf"{kind}(?![a-z])", text.lower()):
                return _echarts(bench, kind, data, title)
    return _echarts(bench, CHARTS[-1], data, title)


def _data(bench: Workbench, part: Part) -> Sequence[Value]:
    """Labels and numbers, each joined by semicolons; added up in code where the text speaks of sums or periods."""
    fields = cues.listed_fields(cues.task_of(part.text))[:2]
    labels, numbers = fields if len(fields) > 1 else ("labels", "numbers")
    wanted = [
        (f"{labels}, in order, joined by ;", "labels", "string"),
        (f"{numbers}, as bare numbers in the same order, joined by ;", "numbers", "string"),
    ]
    found = list(bench.extract(bench.source(), wanted, "Data of the chart", cues.task_of(part.text)).values())
    purpose = f"sums of numbers by label, group or period, for a chart: {part.text}"
    sums = borrowing.code(purpose, bench.patterns, gives=["string", "string"], takes=2)
    return bench.compute(sums, found, "Add up") if sums and cues.SUMS.search(part.text) else found


def _chooses_chart(given: Input) -> bool:
    return bool(_CHART_INPUT.search(f"{given.description} {given.name}".replace("_", " ")))


def _chosen_chart(bench: Workbench, chosen: Value, data: Sequence[Value], title: str) -> Value:
    """One branch for each kind of chart that an input may name."""
    cases = [[None, [[chosen.ref, "contains", kind]]] for kind in CHARTS[:-1]]
    choice = bench.draft.add_after_all("if-else", "Which kind of chart?", {"cases": cases})
    drawn = []
    for port, kind in enumerate(CHARTS):
        with bench.draft.branch(choice, port):
            drawn.append(_echarts(bench, kind, data, title))
    return bench.merge(drawn, "The chart")


def _echarts(bench: Workbench, kind: str, data: Sequence[Value], title: str) -> Value:
    labels, numbers = data
    param = {"chart_type": kind, "chart_title": title, "data": numbers.text, "x_axisORcategories": labels.text}
    return Value("text", bench.draft.add("echarts", f"Draw the {kind} chart", param, data), "Chart")
