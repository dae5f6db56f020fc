"""Where a node's data refers to other nodes' outputs: found, and changed in place.

Two kinds: selectors, lists ``[node, field, …]`` under known keys, and ``{{#node.field#}}`` inside texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Path = tuple[str | int, ...]
Selector = tuple[str, ...]

# Exactly what the engine replaces in a text; anything else between the marks stays as it is written.
TEXT_REFERENCE: Final = re.compile(r"\{\{#([a-zA-Z0-9_]{1,50}(?:\.[a-zA-Z_][a-zA-Z0-9_]{0,29}){1,10})#\}\}")
LOOSE_REFERENCE: Final = re.compile(r"\{\{#([^#{}\n]{1,200})#\}\}")
ID_PATTERN: Final = re.compile(r"[a-zA-Z0-9_]{1,50}")
FIELD_PATTERN: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,29}")
PROMPT_WORDS: Final = frozenset({"context", "histories", "query"})  # an LLM node's own placeholders

MAX_DEPTH: Final = 40

_DEAD_KEYS: Final = frozenset(
    {
        "title", "desc", "code", "template", "paramSchemas", "params_schema", "output_schema", "schemas", "author",
        "start_node_id", "model", "options", "json_schema", "children", "classes_schema", "text_editor", "jinja2_text",
    }
)  # fmt: skip
_LISTS_OF_SELECTORS: Final = frozenset({"variable-aggregator", "variable-assigner"})


@dataclass(frozen=True, slots=True)
class Use:
    """One reference: ``selector`` is what it names, ``path`` where it stands in the node's data.

    ``exact`` is False for a text reference that the engine would not recognise.
    """

    selector: Selector
    path: Path
    kind: Literal["selector", "text"]
    exact: bool = True
    written: str = ""

    @property
    def node(self) -> str:
        """The node, or prefix such as ``sys``, referred to."""
        return self.selector[0]

    @property
    def field(self) -> str:
        """The output referred to; empty when the reference names none."""
        return self.selector[1] if len(self.selector) > 1 else ""


def uses(data: Mapping[str, Any]) -> list[Use]:
    """Every reference in a node's data, in the order written."""
    return list(_walk(data, (), str(data.get("type", ""))))


def _walk(value: object, path: Path, type_: str) -> Iterator[Use]:
    if isinstance(value, str):
        yield from _text_uses(value, path, type_)
    elif len(path) >= MAX_DEPTH:
        return
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            if not _is_dead(value, key, type_):
                yield from _walk(entry, (*path, str(key)), type_)
    elif isinstance(value, list):
        if value and _is_selector(value, path, type_):
            yield Use(tuple(value), path, "selector")
            return
        for index, entry in enumerate(value):
            yield from _walk(entry, (*path, index), type_)


def _is_dead(owner: Mapping[str, Any], key: object, type_: str) -> bool:
    """Whether a field says nothing to the engine: schemas, titles, and parts that are switched off."""
    if key in _DEAD_KEYS or not isinstance(key, str):
        return True
    if key == "conditions" and "cases" in owner:
        return True
    if key in ("context", "vision", "filter_by", "order_by", "limit", "extract_by"):
        part = owner[key]
        return isinstance(part, Mapping) and part.get("enabled") is False
    return key == "variables" and type_ in ("llm", "parameter-extractor", "http-request")


def _is_selector(value: list[Any], path: Path, type_: str) -> bool:
    if not all(isinstance(part, str) for part in value) or not path:
        return False
    last = path[-1]
    if isinstance(last, str):
        names_one = last.endswith("selector") or (last in ("variable", "query") and len(path) == 1)
        return names_one or (last == "value" and len(value) > 1 and _is_tool_variable(path, type_))
    return "variables" in path and type_ in _LISTS_OF_SELECTORS


def _is_tool_variable(path: Path, type_: str) -> bool:
    """Whether a list under ``value`` is a selector: in inputs of tools, agents, assigners and loops."""
    return type_ in ("tool", "agent", "assigner", "loop", "datasource") and "tools" not in path


def _text_uses(text: str, path: Path, type_: str) -> Iterator[Use]:
    if "{{#" not in text:
        return
    for match in LOOSE_REFERENCE.finditer(text):
        inner = match.group(1).strip()
        if type_ == "llm" and inner in PROMPT_WORDS:
            continue
        exact = TEXT_REFERENCE.fullmatch(match.group()) is not None
        yield Use(tuple(part.strip() for part in inner.split(".")), path, "text", exact, match.group())


def as_selector(value: object) -> Selector | None:
    """A list of texts as a selector; None for anything else."""
    return tuple(value) if isinstance(value, list) and value and all(isinstance(part, str) for part in value) else None


def value_at(data: object, path: Path) -> Any:
    """What stands at ``path``; None where it does not lead anywhere."""
    for part in path:
        try:
            data = data[part]  # type: ignore[index]  # checked by what it raises
        except (KeyError, IndexError, TypeError):
            return None
    return data


def replace_use(data: dict[str, Any], use: Use, selector: Selector) -> None:
    """Make one reference name something else, in place."""
    owner = value_at(data, use.path[:-1])
    if use.kind == "selector":
        owner[use.path[-1]] = list(selector)
    else:
        owner[use.path[-1]] = owner[use.path[-1]].replace(use.written, "{{#" + ".".join(selector) + "#}}")


def rename_nodes(value: Any, new_id: Callable[[str], str], type_: str) -> Any:
    """A copy of a node's data, or of one field's value, with the node ids in its references replaced."""
    data = copy_data(value) if isinstance(value, Mapping) else {"value": copy_data(value)}
    for use in uses({**data, "type": type_}):
        renamed = new_id(use.node)
        if renamed != use.node:
            replace_use(data, use, (renamed, *use.selector[1:]))
    return data if isinstance(value, Mapping) else data["value"]


def copy_data(value: Any) -> Any:
    """A deep copy of plain data; quicker than ``copy.deepcopy``."""
    if isinstance(value, Mapping):
        return {key: copy_data(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [copy_data(entry) for entry in value]
    return value
