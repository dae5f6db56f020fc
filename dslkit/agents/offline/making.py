"""Lays the nodes of one part: its steps, and what it makes of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from dslkit.agents.offline import borrowing, cues
from dslkit.agents.offline.drafting import Value
from dslkit.agents.offline.wording import overlap
from dslkit.agents.offline.workbench import START, Workbench, fetch, merge, start_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.agents.offline.reading import Output, Part


_CHARTS: Final = ("pie", "line", "bar")  # the last is drawn when none is named


def make(bench: Workbench, part: Part, *, first: bool) -> None:
    """Lay a part.  ``first`` parts always have work of their own; a later one may only change the form of a result."""
    fields = [output for output in part.outputs if output.kind == "field"]
    if fields or cues.FIELDS.search(part.text):
        _extract_fields(bench, part, fields)
    if cues.EXTRACT_ADDRESS.search(part.text):
        found = bench.extract(bench.main_text(), [("address in the text", "url", "string")], "Find the address")
        bench.materials.append(fetch(bench, found["url"], part.text))
    texts = [output for output in part.outputs if output.kind == "text" or output.own_text]
    drawings = [output for output in part.outputs if output.kind in {"image", "chart", "diagram"}]
    only_drawings = bool(drawings) and len(drawings) == len(part.outputs)
    works = not part.source_only and cues.asks_for_work(part.text)
    if texts or works or (first and not only_drawings and not _literals(bench, part)):
        _write_texts(bench, part, texts)
    for output in drawings:
        _draw(bench, part, output)
    _literals(bench, part)
    _note_files(bench, part)


def finish(bench: Workbench) -> None:
    """Lay what is made of finished texts: files and audio."""
    laid: dict[tuple[str, Value], Value] = {}
    for output, source in bench.files:
        if output.wanted:
            key = (output.kind, source)
            laid[key] = laid.get(key) or _file(bench, output, source)
            bench.made[output.name] = laid[key]
    bench.files.clear()


def _literals(bench: Workbench, part: Part) -> bool:
    """Outputs that are a fixed text; True when the part makes nothing else."""
    fixed = [output for output in part.outputs if output.kind.startswith("literal:")]
    for output in fixed:
        if output.name not in bench.made or bench.made[output.name].label != output.kind:
            param = {"variables": [], "template": output.kind.removeprefix("literal:")}
            bench.made[output.name] = Value(
                "output", bench.draft.add("template-transform", "Fixed answer", param), output.kind
            )
    return bool(fixed) and len(fixed) == len(part.outputs)


# ---- texts -----------------------------------------------------------------------------------------------------------


def _write_texts(bench: Workbench, part: Part, texts: Sequence[Output]) -> None:
    if not bench.lists:
        _compute(bench, part)
    before = len(bench.texts)
    if len(texts) > 1:
        steps = _work(bench, part, texts) if bench.lists or len(cues.steps(part.text)) > 1 else None
        for output in texts:
            _record(bench, output, _one_of_several(bench, part, output, bench.texts[before:] if steps else None))
    elif texts:
        _record(bench, texts[0], _work(bench, part, texts))
    else:
        _rework(bench, _work(bench, part, texts))


def _one_of_several(bench: Workbench, part: Part, output: Output, steps: Sequence[Value] | None) -> Value:
    """A text of its own for each output, made from the same steps where there are any."""
    if cues.RUN_CODE.search(part.text) and re.search(
        r"\b(?:execut\w+|run) result\b|\bresults? of\b", output.description
    ):
        return _run_code(bench)
    said = output.description or output.name.replace("_", " ")
    value = bench.write(f"{cues.task_of(part.text)}\n\nGive only this: {said}.", _title(said), texts=steps)
    bench.texts.append(value)
    return value


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
        bench.texts.append(_through_files(bench, part.text))
        return bench.texts[-1]
    written: list[Value] = []
    listed = cues.steps(part.text)
    title = texts[0].description if texts and len(listed) == 1 else ""
    for place, step in enumerate(listed, start=1):
        if cues.TEMPLATE.search(step) and written and place == len(listed):
            break
        if not (place > 1 and _is_drawing(step)) and not _writes_prompt(bench, part, step):
            value = (
                _through_items(bench, step) if cues.ITERATE.search(step) else bench.write(step, _title(title or step))
            )
            bench.texts.append(value)
            written.append(value)
    if cues.REVIEW.search(part.text):
        written = [_reviewed(bench, part)]
    if cues.TEMPLATE.search(part.text) and written and written[-1].name != "output":
        bench.texts.append(bench.fill_template(written, "Put together"))
    return bench.texts[-1]


def _compute(bench: Workbench, part: Part) -> None:
    """What the text wants computed is done in code; the model then reads it beside the rest."""
    wanted = cues.CODE.search(part.text) and not cues.RUN_CODE.search(part.text)
    if (
        not wanted
        or any(node["type"] == "code" for node in bench.draft.nodes)
        or any(o.kind == "chart" for o in part.outputs)
    ):
        return
    source = bench.materials[-1] if bench.materials else bench.main_text()
    param = borrowing.code(part.text, gives=["string"])
    if param:
        bench.materials.append(bench.compute(param, [source], "Computed")[0])


def _writes_prompt(bench: Workbench, part: Part, step: str) -> bool:
    """A step that describes the image to be drawn gives no text of the part: its prompt is kept for the drawing."""
    draws = any(output.kind == "image" for output in part.outputs)
    itself = any(
        cues.IMAGE_PROMPT.search(f"{output.name} {output.description}")
        for output in part.outputs
        if output.kind == "text"
    )
    if not bench.texts or not draws or itself or not cues.IMAGE_PROMPT.search(step):
        return False
    bench.prompt = bench.write(step, "Prompt of the image", look=False)
    return True


def _reviewed(bench: Workbench, part: Part) -> Value:
    """The latest text, criticised and revised."""
    draft = bench.main_text()
    check = "Check the result against the task and its sources: quote what is wrong, missing or clumsy, and say how to mend it."
    remarks = bench.write(f"{check}\n\nThe task: {cues.task_of(part.text)}", "Check the result", texts=[draft])
    revise = f"Revise the result by the remarks of the check and give the revised result alone.\n\nThe task: {cues.task_of(part.text)}"
    bench.texts.append(bench.write(revise, "Revise the result", texts=[draft, remarks]))
    return bench.texts[-1]


def _is_drawing(step: str) -> bool:
    return bool(
        re.search(
            r"\b(?:generat\w+|draw|creat\w+)\b[^.;]*\b(?:image|illustration|picture|chart|audio|poster)\b(?! description)",
            step,
        )
    )


def _through_files(bench: Workbench, task: str) -> Value:
    """Each file of the lists on its own, by what it is; the results under each other."""
    given = bench.lists.pop(0)
    kinds = sorted(given.media)
    results = [
        _each_file(bench, _only(bench, start_value(given), kind) if len(kinds) > 1 else start_value(given), kind, task)
        for kind in kinds
    ]
    return bench.join_list(results, "Put together")


def _only(bench: Workbench, files: Value, kind: str) -> Value:
    """The files of one kind."""
    param = {"variable": files.ref, "operator": ["filter_by", "in", kind]}
    return Value("result", bench.draft.add("list-operator", f"Only {kind} files", param, [files]), files.label)


def _each_file(bench: Workbench, files: Value, kind: str, task: str) -> Value:
    param: dict[str, Any] = {"iterator_selector": files.ref}
    node = bench.draft.add("iteration", f"Each {kind}", param, [files])
    with bench.draft.inside(node, "iteration-start"):
        item = Value("item", node, f"The {kind}")
        inner = bench.fork()
        inner.texts = []
        if kind == "document":
            extractor = bench.draft.add(
                "document-extractor", "Text of the document", {"variable_selector": item.ref}, [item]
            )
            inner.materials.insert(0, Value("text", extractor, "Document"))
        else:
            inner.pictures.append(item)
        for step in cues.steps(task):
            inner.texts.append(inner.write(step, _title(step)))
    param["output_selector"] = inner.texts[-1].ref
    return Value("output", node, "Results")


def _through_items(bench: Workbench, step: str) -> Value:
    """Work on each element of a list that the latest text holds; the results under each other."""
    source = bench.main_text()
    wanted = [("the elements to work on one by one, each complete in itself", "items", "array[string]")]
    items = bench.extract(source, wanted, "List the elements")["items"]
    param: dict[str, Any] = {"iterator_selector": items.ref}
    node = bench.draft.add("iteration", "Each element", param, [items])
    with bench.draft.inside(node, "iteration-start"):
        inner = bench.fork()
        inner.texts = [Value("item", node, "Work on this element now"), *bench.texts[-1:]]
        param["output_selector"] = inner.write(step, _title(step), texts=inner.texts).ref
    return bench.join_list([Value("output", node, "Results")], "Put together")


# ---- fields, charts, images, files -----------------------------------------------------------------------------------


def _extract_fields(bench: Workbench, part: Part, fields: Sequence[Output]) -> None:
    """Named fields out of the first text at hand; where the outputs are such fields, under their names."""
    if not (bench.materials or bench.texts) or (not fields and any(o.kind == "chart" for o in part.outputs)):
        return
    if fields:
        parameters = [(output.description or output.name, output.name, "string") for output in fields]
    else:
        parameters = [(said, _name(said), "string") for said in cues.listed_fields(part.text)]
    if not parameters:
        parameters = [("the key information the task needs", "key_information", "string")]
    values = bench.extract(
        bench.materials[0] if bench.materials else bench.main_text(), parameters, "Extract the fields"
    )
    bench.made |= {output.name: values[output.name] for output in fields}
    bench.materials.extend(values.values())


def _draw(bench: Workbench, part: Part, output: Output) -> None:
    if output.kind == "chart":
        bench.made[output.name] = _chart(bench, part, output)
    elif output.kind == "diagram":
        code = bench.write(
            f"{part.text}\nWrite the Mermaid code of the diagram, nothing else, without a code fence.", "Mermaid code"
        )
        node = bench.draft.add("mermaid-converter", "Draw the diagram", {"mermaid_code": code.text}, [code])
        bench.made[output.name] = Value("files", node, "Diagram")
    else:
        image = _image(bench, part, output)
        bench.images.append(image)
        bench.made[output.name] = image


def _image(bench: Workbench, part: Part, output: Output) -> Value:
    """An image from a prompt: the one the part outputs, or one written for it."""
    written = [
        bench.made[o.name]
        for o in part.outputs
        if o.kind == "text" and "prompt" in f"{o.name} {o.description}" and o.name in bench.made
    ]
    said = output.description or output.name
    task = f"Write the prompt for a text-to-image model that draws this: {said}. Name visible things only, in at most 80 words.\n\nThe request: {part.text}"
    prompt = bench.prompt or (written[-1] if written else None) or bench.write(task, "Prompt of the image", look=False)
    return Value(
        "files", bench.draft.add("text2image", "Draw the image", {"image_prompt": prompt.text}, [prompt]), "Image"
    )


def _chart(bench: Workbench, part: Part, output: Output) -> Value:
    """Labels and numbers out of the text, then the chart, of the kind the text names or an input chooses."""
    fields = cues.listed_fields(part.text)[:2]
    labels, numbers = fields if len(fields) > 1 else ("labels", "numbers")
    wanted = [
        (f"{labels}, in order, joined by ;", "labels", "string"),
        (f"{numbers}, as bare numbers in the same order, joined by ;", "numbers", "string"),
    ]
    found = bench.extract(
        bench.materials[0] if bench.materials else bench.main_text(),
        wanted,
        "Data of the chart",
        cues.task_of(part.text),
    )
    data = [found["labels"], found["numbers"]]
    grouping = borrowing.code(
        f"sums of numbers by label, group or period, for a chart: {part.text}", gives=["string", "string"], takes=2
    )
    if grouping and cues.COMPUTE.search(part.text):
        data = bench.compute(grouping, data, "Sum by group")
    chosen = next(
        (
            one
            for one in bench.reading.string_inputs()
            if re.search(r"\bchart|\bgraph", f"{one.description} {one.name}".replace("_", " "))
        ),
        None,
    )
    title = _title(output.description or "Chart")
    if chosen:
        return _chosen_chart(bench, start_value(chosen), data, title)
    about = f"{output.name} {output.description}".lower()
    kind = next(
        (kind for text in (about, part.text.lower()) for kind in _CHARTS if re.search(rf"{kind}(?![a-z])", text)),
        _CHARTS[-1],
    )
    return _echarts(bench, kind, data, title)


def _chosen_chart(bench: Workbench, chosen: Value, data: Sequence[Value], title: str) -> Value:
    """One branch for each kind of chart that an input may name."""
    cases = [[None, [[chosen.ref, "contains", kind]]] for kind in _CHARTS[:-1]]
    choice = bench.draft.add_after_all("if-else", "Which kind of chart?", {"cases": cases})
    drawn = []
    for port, kind in enumerate(_CHARTS):
        with bench.draft.branch(choice, port):
            drawn.append(_echarts(bench, kind, data, title))
    return merge(bench, drawn, "The chart")


def _echarts(bench: Workbench, kind: str, data: Sequence[Value], title: str) -> Value:
    labels, numbers = data
    param = {"chart_type": kind, "chart_title": title, "data": numbers.text, "x_axisORcategories": labels.text}
    return Value("text", bench.draft.add("echarts", f"Draw the {kind} chart", param, data), "Chart")


def _note_files(bench: Workbench, part: Part) -> None:
    """Files and audio are made of the part's own text at the end, so that later rounds still improve it."""
    outputs = [o for o in part.outputs if (o.kind.startswith("file:") or o.kind == "audio") and not o.own_text]
    alike = {o.kind for o in outputs if sum(other.kind == o.kind for other in outputs) > 1}
    for output in outputs:
        source = bench.main_text()
        if source.node == START or output.kind in alike:
            task = f"{part.text}\n\nGive only this: {output.description or output.name.replace('_', ' ')}."
            source = bench.write(task, _title(output.description or output.name))
        own = [bench.made[o.name] for o in part.outputs if o.kind == "text" and o.name in bench.made]
        best = max(own, key=lambda value: overlap(output.description, value.label), default=None)
        bench.files.append((output, best if best and output.kind not in alike else source))


def _file(bench: Workbench, output: Output, source: Value) -> Value:
    if output.kind == "audio":
        return Value("files", bench.draft.add("tts", "Read aloud", {"text": source.text}, [source]), "Audio")
    ending = output.kind.removeprefix("file:")
    param = {"target_type": ending, "md_text": source.text}
    return Value(
        "files", bench.draft.add("markdown-exporter", f"Make the {ending} file", param, [source]), f"{ending} file"
    )


def _run_code(bench: Workbench) -> Value:
    """Run the code of the latest text in Dify's sandbox, on whatever input a user may give it."""
    source = bench.texts[-1]
    given = [
        start_value(one) for one in bench.reading.string_inputs() if re.search(r"input|case|argument|data", one.name)
    ]
    param = borrowing.code("run a Python program and give what it prints", gives=["string"], takes=2 if given else 1)
    assert param is not None
    return bench.compute(param, [source, *given[:1]], "Run the code")[0]


def _title(text: str) -> str:
    words = re.sub(
        r"^(?:the|an?|first(?:ly)?|then|next|finally|subsequently|\d+[.)])[, ]+", "", text.strip(), flags=re.IGNORECASE
    ).split()
    title = " ".join(words[:6]).strip(" ,.;:'\"")
    return title[:1].upper() + title[1:60] if title else "Write"


def _name(text: str) -> str:
    name = re.sub(r"\W+", "_", text.lower(), flags=re.ASCII).strip("_")[:28].strip("_")
    return name if name and not name[0].isdigit() else f"field_{name}"
