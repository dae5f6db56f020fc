"""A plan to a Dify document: ids that resolve, handles, containers, layout, dependencies, features."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

from dslkit.dify import layout
from dslkit.dify.derive import derive
from dslkit.dify.node_forms import build_data
from dslkit.dify.node_values import UPLOAD_METHODS, Context
from dslkit.dify.nodes import DEFAULT_HANDLE, PREFIXES, handles_of, is_one_of, mappings, node_kind
from dslkit.dify.references import ID_PATTERN, LOOSE_REFERENCE
from dslkit.dify.tools import DEFAULT_MODEL, TOOLS, dependency, plugins_of

if TYPE_CHECKING:
    from dslkit.dify.plan import Plan, PlanNode, Port

AppMode = Literal["workflow", "advanced-chat"]

DSL_VERSIONS: Final = ("0.3.0", "0.3.1", "0.4.0", "0.5.0", "0.6.0")
DEFAULT_DSL_VERSION: Final = "0.6.0"

_PRESENCE: Final = frozenset(
    {"exists", "not exists", "empty", "not empty", "is empty", "is not empty", "null", "not null"}
)
_CONTAINERS: Final[Mapping[str, str]] = {"iteration": "iteration-start", "loop": "loop-start"}
_ENTRIES: Final = frozenset(_CONTAINERS.values())
_CHILD_Z: Final = 1002
_CONTAINER_Z: Final = 1


def compile_plan(
    plan: Plan,
    *,
    name: str,
    mode: AppMode = "workflow",
    dsl_version: str = DEFAULT_DSL_VERSION,
    model: Mapping[str, Any] = DEFAULT_MODEL,
) -> dict[str, Any]:
    """The Dify document of a plan.  Never fails: what a plan gets wrong is still there, for the checks to name.

    Args:
        plan: the plan; its own ``app`` settings win over the arguments.
        name: the app's name.
        mode: ``workflow`` (ends in end nodes) or ``advanced-chat`` (ends in answer nodes).
        dsl_version: one of DSL_VERSIONS.
        model: Dify's model configuration for nodes that name none.

    Raises:
        ValueError: for an unknown mode or version.
    """
    if dsl_version not in DSL_VERSIONS:
        raise ValueError(f"dsl_version must be one of {', '.join(DSL_VERSIONS)}, not {dsl_version!r}")
    if mode not in ("workflow", "advanced-chat"):
        raise ValueError(f"mode must be workflow or advanced-chat, not {mode!r}")
    app: dict[str, Any] = {**_app(name, mode), **plan.app}
    ids = dify_ids(node.id for node in plan.nodes_info)
    context = Context(ids, _asked(plan), _tested_for_presence(plan), model)
    nodes = _nodes(plan, context)
    edges = _edges(plan, context, nodes)
    document: dict[str, Any] = {
        "app": app,
        "dependencies": plan.dependencies or dependencies_of(node["data"] for node in nodes),
        "kind": "app",
        "version": dsl_version,
        "workflow": {
            "conversation_variables": plan.conversation_variables,
            "environment_variables": plan.environment_variables,
            "features": plan.features or _features(),
            "graph": {
                "edges": edges,
                "nodes": [*nodes, *plan.notes],
                "viewport": {"x": 0, "y": 0, "zoom": 0.8},
            },
        },
    }
    derive(document)
    _place(plan, nodes, edges)
    return document


def dify_ids(plan_ids: Iterable[str]) -> dict[str, str]:
    """Plan ids to Dify ids: letters, digits and underscores only, so that references to them resolve; all different."""
    ids: dict[str, str] = {}
    taken: set[str] = set(PREFIXES)
    for plan_id in plan_ids:
        if plan_id in ids:
            continue
        clean = re.sub(r"[^a-zA-Z0-9_]", "_", plan_id)[:44] if not ID_PATTERN.fullmatch(plan_id) else plan_id
        unique, number = clean, 2
        while unique in taken or not unique:
            unique, number = f"{clean}_{number}", number + 1
        taken.add(unique)
        ids[plan_id] = unique
    return ids


def _app(name: str, mode: AppMode) -> dict[str, Any]:
    return {
        "description": "",
        "icon": "🤖",
        "icon_background": "#FFEAD5",
        "icon_type": "emoji",
        "mode": mode,
        "name": name,
        "use_icon_as_answer_icon": False,
    }


def _features() -> dict[str, Any]:
    return {
        "file_upload": {
            "allowed_file_extensions": [],
            "allowed_file_types": [],
            "allowed_file_upload_methods": list(UPLOAD_METHODS),
            "enabled": False,
            "number_limits": 3,
        },
        "opening_statement": "",
        "retriever_resource": {"enabled": True},
        "sensitive_word_avoidance": {"enabled": False},
        "speech_to_text": {"enabled": False},
        "suggested_questions": [],
        "suggested_questions_after_answer": {"enabled": False},
        "text_to_speech": {"enabled": False, "language": "", "voice": ""},
    }


def _walk(value: Any) -> Iterator[Any]:
    """Every list and text inside a value."""
    stack = [value]
    while stack:
        entry = stack.pop()
        if isinstance(entry, Mapping):
            stack.extend(entry.values())
        elif isinstance(entry, list):
            yield entry
            stack.extend(entry)
        elif isinstance(entry, str):
            yield entry


def _asked(plan: Plan) -> dict[str, frozenset[str]]:
    """Which outputs of each node the rest of the plan asks for."""
    asked: dict[str, set[str]] = {}
    for node in plan.nodes_info:
        for value in _walk(node.param):
            match value:
                case [str() as variable, str() as source]:
                    asked.setdefault(source, set()).add(variable.split(".")[0])
                case str():
                    for inner in LOOSE_REFERENCE.findall(value):
                        source, _, variable = inner.strip().partition(".")
                        asked.setdefault(source, set()).add(variable.split(".")[0])
                case _:
                    pass
    return {source: frozenset(variables) for source, variables in asked.items()}


def _tested_for_presence(plan: Plan) -> frozenset[tuple[str, str]]:
    """Variables that an if-else asks to be there at all: as inputs of a user these are optional."""
    found = set()
    for node in plan.nodes_info:
        for value in _walk(node.param.get("cases")) if node.type == "if-else" else ():
            match value:
                case [[str() as variable, str() as source], str() as operator, *_] if operator.lower() in _PRESENCE:
                    found.add((source, variable))
                case _:
                    pass
    return frozenset(found)


def _nodes(plan: Plan, context: Context) -> list[dict[str, Any]]:
    parents = _parents(plan)
    types = {node.id: node.type for node in plan.nodes_info}
    titles = _Titles()
    entries = {parents[id_]: id_ for id_ in reversed(parents) if types[id_] in _CONTAINERS.values()}
    return [_node(node, parents.get(node.id), types, titles, context, entries.get(node.id)) for node in plan.nodes_info]


def _parents(plan: Plan) -> dict[str, str]:
    """The container of each node inside one: as the node says, or ``2-1`` in ``2`` where ``2`` is a container."""
    containers = {node.id for node in plan.nodes_info if node.type in _CONTAINERS}
    parents = {}
    for node in plan.nodes_info:
        implied = node.id.rpartition("-")[0]
        parent = node.parent if node.parent is not None else implied
        if parent in containers and parent != node.id:
            parents[node.id] = parent
    return parents


class _Titles:
    """Gives every node that has no title one of its own."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def next(self, node: PlanNode) -> str:
        if node.title:
            return node.title
        title = self._kind(node.type)
        self._seen[title] += 1
        return title if self._seen[title] == 1 else f"{title} {self._seen[title]}"

    @staticmethod
    def _kind(type_: str) -> str:
        tool, kind = TOOLS.get(type_), node_kind(type_)
        return tool.title if tool else kind.title if kind else type_


def _node(
    node: PlanNode,
    parent: str | None,
    types: Mapping[str, str],
    titles: _Titles,
    context: Context,
    entry: str | None,
) -> dict[str, Any]:
    data = {
        "desc": "",
        "selected": False,
        "title": titles.next(node),
        **build_data(node.type, node.param, context, node.id),
    }
    shell: dict[str, Any] = {"id": context.id(node.id), "type": _shell_type(node.type), "data": data}
    if parent is not None:
        owner = "iteration" if types[parent] == "iteration" else "loop"
        data |= {f"isIn{owner.title()}": True, f"{owner}_id": context.id(parent)}
        shell |= {"parentId": context.id(parent), "extent": "parent", "zIndex": _CHILD_Z}
    if node.type in _CONTAINERS:
        data["start_node_id"] = context.id(entry) if entry else ""
        shell["zIndex"] = shell.get("zIndex", 0) + _CONTAINER_Z
    data |= node.dify
    return shell


def _shell_type(type_: str) -> str:
    return f"custom-{type_}" if type_ in _CONTAINERS.values() else "custom"


def _edges(plan: Plan, context: Context, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_id = {node["id"]: node for node in nodes}
    edges = []
    for plan_source, port, plan_target in plan.edges:
        source, target = context.id(plan_source), context.id(plan_target)
        edges.append(make_edge(source, _handle(by_id.get(source), port), target, by_id))
    return edges


def make_edge(source: str, handle: str, target: str, nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """An edge as Dify's editor keeps it; ``nodes`` are the document's by id."""
    parent = str(nodes.get(source, {}).get("parentId", ""))
    parent_type = nodes[parent]["data"].get("type") if parent in nodes else None
    data: dict[str, Any] = {
        "sourceType": _type_of(nodes, source),
        "targetType": _type_of(nodes, target),
        "isInIteration": parent_type == "iteration",
        "isInLoop": parent_type == "loop",
    }
    if is_one_of(parent_type, _CONTAINERS):
        data[f"{parent_type}_id"] = parent
    return {
        "id": f"{source}-{handle}-{target}-target",
        "source": source,
        "sourceHandle": handle,
        "target": target,
        "targetHandle": "target",
        "type": "custom",
        "zIndex": _CHILD_Z if parent_type else 0,
        "data": data,
    }


def _type_of(nodes: Mapping[str, Mapping[str, Any]], id_: str) -> str:
    return str(nodes[id_]["data"].get("type", "")) if id_ in nodes else ""


def _handle(node: Mapping[str, Any] | None, port: Port) -> str:
    """Dify's handle of a port: the node's handles are its ports in order, or the plan gives the handle's name.

    A port that the node does not have becomes a handle that does not exist, for the checks to name.
    """
    if isinstance(port, str):
        return port
    handles = handles_of(node["data"]) if node else (DEFAULT_HANDLE,)
    return handles[port] if 0 <= port < len(handles) else str(port) if port else DEFAULT_HANDLE


def dependencies_of(datas: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Entries for the plugins that nodes' tools and models come from, by the nodes' data."""
    plugins = dict.fromkeys(plugin for data in datas for plugin in plugins_of(data))
    return [entry for plugin in plugins if (entry := dependency(plugin))]


def _place(plan: Plan, nodes: list[dict[str, Any]], edges: list[dict[str, Any]]) -> None:
    """Set every node's position and size: the plan's own places where it has them all, else a fresh layout."""
    handles = {node["id"]: handles_of(node["data"]) for node in nodes}
    ways = ((edge["source"], edge["target"], edge["sourceHandle"]) for edge in edges if edge["source"] in handles)
    links = [layout.Link(a, b, handles[a].index(handle) if handle in handles[a] else 0) for a, b, handle in ways]
    spots, _, _ = layout.lay_out([_block(node) for node in nodes], links, layout.EDITOR)
    kept = all(node.position is not None for node in plan.nodes_info)
    by_id = {node["id"]: node for node in nodes}
    for node, planned in zip(nodes, plan.nodes_info, strict=True):
        spot, owner = spots[node["id"]], spots.get(node.get("parentId", ""))
        fresh = (spot.x - owner.x, spot.y - owner.y) if owner else (spot.x, spot.y)
        x, y = planned.position if kept and planned.position else map(round, fresh)
        size = {"width": round(spot.width), "height": round(spot.height)}
        node |= {
            "position": {"x": x, "y": y},
            **size,
            "sourcePosition": "right",
            "targetPosition": "left",
            "selected": False,
        }
        if is_one_of(node["data"].get("type"), _CONTAINERS):
            node["data"] |= size
    for node in nodes:
        node["positionAbsolute"] = _absolute(node, by_id)


def _absolute(node: dict[str, Any], nodes: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    x, y = node["position"]["x"], node["position"]["y"]
    seen = {node["id"]}
    parent = str(node.get("parentId", ""))
    while parent in nodes and parent not in seen:
        seen.add(parent)
        x, y = x + nodes[parent]["position"]["x"], y + nodes[parent]["position"]["y"]
        parent = str(nodes[parent].get("parentId", ""))
    return {"x": x, "y": y}


def _block(node: Mapping[str, Any]) -> layout.Block:
    """A node's size: taller with every branch, small where a container begins."""
    id_, parent, data = node["id"], node.get("parentId", ""), node["data"]
    if is_one_of(data.get("type"), _ENTRIES):
        return layout.Block(id_, parent, layout.ENTRY_SIZE, layout.ENTRY_SIZE)
    branches = len(mappings(data.get("cases"))) or len(mappings(data.get("classes")))
    return layout.Block(id_, parent, height=layout.HEIGHT + 36 * branches)
