"""Work on each element: of an uploaded list of files, or of a list that a text holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dslkit.agents.offline import cues
from dslkit.agents.offline.drafting import Value
from dslkit.agents.offline.workbench import Workbench, start_value, title_of

if TYPE_CHECKING:
    from dslkit.agents.offline.reading import Input


def through_files(bench: Workbench, given: Input, task: str) -> Value:
    """Each file on its own, by what it is; the results under each other."""
    files = start_value(given)
    kinds = sorted(given.media)
    if len(kinds) == 1 and not cues.FILTER.search(task):
        return bench.join_lists([_each_file(bench, files, kinds[0], task)], "Put together")
    return bench.join_lists(
        [_each_file(bench, _only(bench, files, kind), kind, task) for kind in kinds], "Put together"
    )


def _only(bench: Workbench, files: Value, kind: str) -> Value:
    """The files of one kind."""
    param = {"variable": files.ref, "operator": ["filter_by", "in", kind]}
    return Value("result", bench.draft.add("list-operator", f"Only {kind} files", param, [files]), files.label)


def _each_file(bench: Workbench, files: Value, kind: str, task: str) -> Value:
    param: dict[str, Any] = {"iterator_selector": files.ref}
    node = bench.draft.add("iteration", f"Each {kind}", param, [files])
    with bench.draft.inside(node, "iteration-start"):
        inner = bench.fork()
        inner.texts = []
        _show(inner, Value("item", node, f"The {kind}"), kind)
        for step in cues.steps(task):
            inner.texts.append(inner.write(step, title_of(step)))
    param["output_selector"] = inner.texts[-1].ref
    return Value("output", node, "Results")


def _show(inner: Workbench, item: Value, kind: str) -> None:
    """Documents are read; everything else is looked at."""
    if kind != "document":
        inner.pictures.append(item)
        return
    node = inner.draft.add("document-extractor", "Text of the document", {"variable_selector": item.ref}, [item])
    inner.materials.insert(0, Value("text", node, item.label))


def through_items(bench: Workbench, step: str) -> Value:
    """Each element of a list that the latest text holds; the results under each other."""
    wanted = [("the elements to work on one by one, each complete in itself", "items", "array[string]")]
    items = bench.extract(bench.main_text(), wanted, "List the elements")["items"]
    param: dict[str, Any] = {"iterator_selector": items.ref}
    node = bench.draft.add("iteration", "Each element", param, [items])
    with bench.draft.inside(node, "iteration-start"):
        item = Value("item", node, "Work on this element now")
        param["output_selector"] = bench.fork().write(step, title_of(step), texts=[item, *bench.texts[-1:]]).ref
    return bench.join_lists([Value("output", node, "Results")], "Put together")
