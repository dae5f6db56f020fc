"""The compact plan a language model writes instead of Dify YAML: its schema, and parsing a reply into it.

A plan is JSON: ``nodes_info`` (nodes with an id, a type and parameters) and ``edges`` (source id, output port, target
id).  A reference is ``[variable, node id]``, in text ``{{#node id.variable#}}``.  What a node type takes is in
``plan_forms.PARAMETERS``; ``plan_schema()`` is the whole as JSON Schema.  Any other Dify node type may stand in a plan
with Dify's own ``data`` as its parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from dslkit.dify import loose_json
from dslkit.dify.plan_forms import known_type, parameter_schemas, read_parameters
from dslkit.dify.plan_notes import Notes
from dslkit.dify.plan_references import NodeIds

if TYPE_CHECKING:
    from dslkit.records import Finding, Repair

MAX_NODES: Final = 5_000
MAX_EDGES: Final = 20_000

Port = int | str
PlanEdge = tuple[str, Port, str]


class PlanNode(BaseModel):
    """One node.  ``dify`` holds fields of Dify's own ``data`` that ``param`` has no word for; they win over it."""

    model_config = ConfigDict(frozen=True)

    id: str
    type: str
    param: dict[str, Any] = Field(default_factory=dict)
    title: str | None = None
    parent: str | None = Field(default=None, description="container's id, where the node's own id does not say it")
    position: tuple[float, float] | None = None
    dify: dict[str, Any] = Field(default_factory=dict)


class Plan(BaseModel):
    """A workflow in compact form.  The app's own settings are left out where Dify's defaults will do."""

    model_config = ConfigDict(frozen=True)

    nodes_info: list[PlanNode]
    edges: list[PlanEdge]
    app: dict[str, Any] = Field(default_factory=dict, description="name, mode, description, icon")
    features: dict[str, Any] = Field(default_factory=dict)
    environment_variables: list[dict[str, Any]] = Field(default_factory=list)
    conversation_variables: list[dict[str, Any]] = Field(default_factory=list)
    dependencies: list[dict[str, Any]] = Field(default_factory=list)
    notes: list[dict[str, Any]] = Field(default_factory=list, description="the editor's sticky notes, as Dify has them")


@dataclass(frozen=True, slots=True)
class ParsedPlan:
    """What became of a reply: ``plan`` is None when there is none to be read in it; ``findings`` then say why."""

    plan: Plan | None
    forgiven: tuple[Repair, ...]
    findings: tuple[Finding, ...]


_FENCE: Final = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:\n\s*```|\Z)", re.DOTALL)
_TAG: Final = re.compile(r"<workflow>(.*?)(?:</workflow>|\Z)", re.DOTALL | re.IGNORECASE)
_WRAPPERS: Final = ("workflow", "plan", "graph", "result", "data")
_NODE_FIELDS: Final = frozenset({"id", "type", "param", "title", "parent", "position", "dify"})
_PARAM_NAMES: Final = ("param", "params", "parameters", "data")
_MAX_PORT_DIGITS: Final = 5


def parse_plan(text: str) -> ParsedPlan:
    """Read the plan out of a model's reply: forgives form, never guesses meaning, never raises on content.

    The reply may be the bare JSON, hold it in ``<workflow>`` tags or in a code fence, or surround it with prose.
    """
    notes = Notes()
    try:
        value = _json_of(text, notes)
        plan = _plan_of(value, notes)
    except loose_json.LooseJsonError as error:
        notes.error(
            "plan-unreadable",
            f"The reply holds no readable plan: {error}.",
            "Answer with one JSON object with nodes_info and edges, inside <workflow> tags.",
        )
        plan = None
    return ParsedPlan(plan, tuple(notes.forgiven), tuple(notes.findings))


def _json_of(text: str, notes: Notes) -> object:
    """The JSON value of the reply, wherever it stands in it."""
    if len(text) > loose_json.MAX_CHARACTERS:
        raise loose_json.LooseJsonError(f"the reply is longer than {loose_json.MAX_CHARACTERS:,} characters")
    body = _body(text, notes)
    value, forgiven = loose_json.read(body)
    for code, message in forgiven.items():
        notes.forgive(code, f"{message[0].upper()}{message[1:]}.")
    return value


def _body(text: str, notes: Notes) -> str:
    body = text.strip().removeprefix("\ufeff")
    tagged = _TAG.search(body)
    if tagged:
        body = tagged.group(1).strip()
    fenced = _FENCE.search(body) if not body.startswith(("{", "[")) else None
    if fenced:
        notes.forgive("code-fence", "Took the plan out of a code fence.")
        return fenced.group(1).strip()
    start = body.find("{")
    if start > 0 and not body.startswith("["):
        notes.forgive("prose", "Left out prose before the plan.")
        return body[start:]
    return body


def _plan_of(value: object, notes: Notes) -> Plan:
    value = _unwrapped(value, notes)
    if not isinstance(value, Mapping):
        raise loose_json.LooseJsonError("its JSON is not an object")
    raw_nodes = _first_of(value, ("nodes_info", "nodes"), notes)
    if isinstance(raw_nodes, Mapping):
        raw_nodes = [{"id": key, **node} for key, node in raw_nodes.items() if isinstance(node, Mapping)]
        notes.forgive("nodes-by-id", "Read an object of nodes as a list of nodes.")
    if not isinstance(raw_nodes, list) or not raw_nodes:
        raise loose_json.LooseJsonError("it has no nodes_info")
    if len(raw_nodes) > MAX_NODES:
        raise loose_json.LooseJsonError(f"it has {len(raw_nodes):,} nodes, more than {MAX_NODES:,}")
    shells = [shell for index, raw in enumerate(raw_nodes) if (shell := _shell(raw, index, notes))]
    ids = NodeIds.of((shell["id"], shell["type"]) for shell in shells)
    nodes = [_node(shell, ids, notes) for shell in shells]
    return Plan(nodes_info=nodes, edges=_edges(value, notes), **_settings(value))


def _unwrapped(value: object, notes: Notes) -> object:
    """The plan inside a one-key wrapper such as ``{"workflow": {…}}``."""
    while isinstance(value, Mapping) and "nodes_info" not in value and "nodes" not in value:
        inner = next((value[key] for key in _WRAPPERS if isinstance(value.get(key), Mapping)), None)
        if inner is None:
            break
        notes.forgive("wrapped", "Took the plan out of an object around it.")
        value = inner
    return value


def _first_of(value: Mapping[str, Any], names: tuple[str, ...], notes: Notes) -> object:
    for name in names:
        if name in value:
            if name != names[0]:
                notes.forgive("field-name", f"Read {name} as {names[0]}.")
            return value[name]
    return None


def _settings(value: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's optional parts, where they are of the right kind."""
    kinds: dict[str, type] = {
        "app": dict,
        "features": dict,
        "environment_variables": list,
        "conversation_variables": list,
        "dependencies": list,
        "notes": list,
    }
    settings: dict[str, Any] = {name: value[name] for name, kind in kinds.items() if isinstance(value.get(name), kind)}
    lists = (name for name, kind in kinds.items() if kind is list and name in settings)
    return settings | {name: [entry for entry in settings[name] if isinstance(entry, dict)] for name in lists}


def _shell(raw: object, index: int, notes: Notes) -> dict[str, Any] | None:
    """A node with a string id, a type and a ``param``; what stands beside ``param`` is taken into it."""
    if not isinstance(raw, Mapping) or "type" not in raw or raw.get("id") in (None, ""):
        notes.error(
            "plan-node-shape",
            f"Entry {index} of nodes_info is not a node with an id and a type.",
            'Write each node as {"id": "…", "type": "…", "param": {…}}.',
            path=f"nodes_info/{index}",
        )
        return None
    node = dict(raw)
    if not isinstance(node["id"], str):
        notes.forgive("id-as-number", "Read node ids given as numbers as text.")
        node["id"] = _as_id(node["id"])
    node["type"] = known_type(str(node["type"]), node["id"], notes)
    node["param"] = _param(node, notes)
    return node


def _param(node: dict[str, Any], notes: Notes) -> dict[str, Any]:
    name = next((name for name in _PARAM_NAMES if isinstance(node.get(name), Mapping)), None)
    param = dict(node.pop(name)) if name else {}
    if name not in (None, "param"):
        notes.forgive("field-name", f"Read {name} as param.", node["id"])
    beside = {key: node.pop(key) for key in list(node) if key not in _NODE_FIELDS}
    if beside:
        notes.forgive("beside-param", f"Took {', '.join(sorted(beside))} into param.", node["id"])
    return {**beside, **param}


def _node(shell: dict[str, Any], ids: NodeIds, notes: Notes) -> PlanNode:
    param = read_parameters(shell["type"], shell["param"], ids, notes.at(shell["id"]))
    title, parent, position, dify = (shell.get(key) for key in ("title", "parent", "position", "dify"))
    return PlanNode(
        id=shell["id"],
        type=shell["type"],
        param=param,
        title=title if isinstance(title, str) else None,
        parent=_as_id(parent) if parent not in (None, "") else None,
        position=_as_position(position),
        dify=dict(dify) if isinstance(dify, Mapping) else {},
    )


def _as_position(value: object) -> tuple[float, float] | None:
    match value:
        case [int() | float() as x, int() | float() as y]:
            return (float(x), float(y))
        case _:
            return None


def _edges(value: Mapping[str, Any], notes: Notes) -> list[PlanEdge]:
    raw_edges = value.get("edges", [])
    if not isinstance(raw_edges, list) or len(raw_edges) > MAX_EDGES:
        raise loose_json.LooseJsonError(f"its edges are not a list of at most {MAX_EDGES:,}")
    edges: list[PlanEdge] = []
    for index, raw in enumerate(raw_edges):
        edge = _edge(raw, notes)
        if edge is None:
            notes.error(
                "plan-edge-shape",
                f"Edge {index} is not [source id, output port, target id]: {str(raw)[:80]}.",
                'Write each edge as ["1", 0, "2"].',
                path=f"edges/{index}",
            )
        else:
            edges.append(edge)
    return edges


def _edge(raw: object, notes: Notes) -> PlanEdge | None:
    if isinstance(raw, Mapping):
        notes.forgive("edge-object", "Read edges given as objects.")
        source, target = (_pick(raw, names) for names in (("source", "from"), ("target", "to")))
        port = _pick(raw, ("port", "source_port", "sourceHandle", "output_port"))
        raw = [source, 0 if port is None else port, target]
    match raw:
        case [source, port, target]:
            pass
        case [source, target]:
            notes.forgive("edge-without-port", "Took port 0 for edges that name no port.")
            port = 0
        case [source, port, target, 0 | "0" | None | "" | "target"]:
            notes.forgive("edge-target-port", "Left out the input port of edges; every node has one.")
        case _:
            return None
    if not all(isinstance(end, str | int) and not isinstance(end, bool) for end in (source, target)):
        return None
    return (_as_id(source), _as_port(port), _as_id(target))


def _pick(raw: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((raw[name] for name in names if name in raw), None)


def _as_id(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _as_port(value: object) -> Port:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return 0 if value is None else str(value)
    return int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= _MAX_PORT_DIGITS else value


def plan_schema(mode: Literal["workflow", "advanced-chat"] = "workflow") -> dict[str, Any]:
    """JSON Schema of a plan, for documentation and for a model's structured output."""
    edge = {
        "type": "array",
        "description": "[source id, output port, target id]; port 0 unless the node branches, or the handle's name",
        "prefixItems": [{"type": "string"}, {"type": ["integer", "string"]}, {"type": "string"}],
        "minItems": 3,
        "maxItems": 3,
    }
    nodes = [
        {
            "type": "object",
            "properties": {
                "id": {"type": "string", "description": "counts from 1; children of container 2 are 2-1, 2-2, …"},
                "type": {"const": type_},
                "title": {"type": "string"},
                "param": schema,
            },
            "required": ["id", "type", "param"],
        }
        for type_, schema in parameter_schemas(mode).items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Plan of a Dify workflow",
        "type": "object",
        "properties": {
            "nodes_info": {"type": "array", "items": {"anyOf": nodes}},
            "edges": {"type": "array", "items": edge},
        },
        "required": ["nodes_info", "edges"],
    }
