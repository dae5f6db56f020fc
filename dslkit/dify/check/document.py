"""Layer: the document itself - kind, version, mode, and the parts around the graph."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from dslkit.dify.nodes import VALUE_TYPES, is_one_of, mappings

if TYPE_CHECKING:
    from dslkit.dify.check.report import Report

NEWEST: Final = (0, 7, 0)
CURRENT: Final = (0, 6, 0)
GRAPH_MODES: Final = frozenset({"workflow", "advanced-chat"})
CONFIG_MODES: Final = frozenset({"chat", "agent-chat", "completion"})

_VERSION: Final = re.compile(r"(\d{1,4})\.(\d{1,4})\.(\d{1,4})")
_VARIABLE_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,29}")


def check_document(document: Mapping[str, Any], report: Report) -> bool:
    """Whether there is a graph to look at."""
    if document.get("kind") is None:
        report.note(
            "kind-missing", "The document names no kind; Dify takes it for an app.", "Write kind: app.", path="kind"
        )
    elif document["kind"] != "app":
        report.error("document-kind", f"kind is {document['kind']!r}.", "Set kind: app.", path="kind")
    _version(document, report)
    mode = _app(document, report)
    _dependencies(document, report)
    if mode in CONFIG_MODES:
        _config_only(document, report, mode)
        return False
    return _workflow(document, report)


def _version(document: Mapping[str, Any], report: Report) -> None:
    version = document.get("version")
    if version is None:
        report.note(
            "version-missing", "The document names no DSL version; Dify takes it for 0.1.0.", 'Write version: "0.6.0".'
        )
        return
    if not isinstance(version, str):
        message = f"version is the number {version}, and Dify reads only text."
        report.error("version-not-text", message, 'Write it in full and in quotes: version: "0.6.0".', path="version")
        return
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        message = f"Dify cannot read the version {version[:20]!r}."
        report.error("version-invalid", message, 'Write version: "0.6.0".', path="version")
        return
    found = tuple(map(int, match.groups()))
    if found > NEWEST:
        message = f"DSL {version} is newer than any known here."
        report.warning("version-newer", message, "Import it into a Dify as new.", path="version")
    elif found < CURRENT:
        report.note("version-older", f"DSL {version} is older than 0.6.0; Dify imports it with a hint.", path="version")


def _app(document: Mapping[str, Any], report: Report) -> str:
    app = document.get("app")
    if not isinstance(app, Mapping):
        report.error("app-missing", "The document has no app.", "Add app with name and mode.", path="app")
        return ""
    mode = app.get("mode")
    if not is_one_of(mode, GRAPH_MODES | CONFIG_MODES):
        remedy = "Use workflow (with end nodes) or advanced-chat (with answers)."
        report.error("app-mode", f"app.mode is {mode!r}.", remedy, path="app/mode")
    if not isinstance(app.get("name"), str) or not app["name"].strip():
        report.warning("app-name", "The app has no name.", "Give it one in app.name.", path="app/name")
    return str(mode)


def _dependencies(document: Mapping[str, Any], report: Report) -> None:
    dependencies = document.get("dependencies")
    if dependencies is None:
        return
    if not isinstance(dependencies, list):
        report.error("dependency-shape", "dependencies is not a list.", "Make it a list.", path="dependencies")
        return
    for index, entry in enumerate(dependencies):
        fits = isinstance(entry, Mapping) and entry.get("type") in ("marketplace", "github", "package")
        if not fits or not isinstance(entry.get("value"), Mapping):
            message = f"Dependency {index} is not {{type: marketplace|github|package, value: {{…}}}}."
            remedy = "Correct or remove it; Dify refuses the import otherwise."
            report.error("dependency-shape", message, remedy, path=f"dependencies/{index}")


def _config_only(document: Mapping[str, Any], report: Report, mode: str) -> None:
    if isinstance(document.get("model_config"), Mapping):
        report.note("no-graph", f"A {mode} app has no graph: there is nothing more to check.")
    else:
        report.error("model-config-missing", f"A {mode} app needs model_config.", "Add it.", path="model_config")


def _workflow(document: Mapping[str, Any], report: Report) -> bool:
    workflow = document.get("workflow")
    graph = workflow.get("graph") if isinstance(workflow, Mapping) else None
    if not isinstance(workflow, Mapping) or not isinstance(graph, Mapping):
        report.error(
            "graph-missing", "There is no workflow.graph.", "Add it with nodes and edges.", path="workflow/graph"
        )
        return False
    if not isinstance(graph.get("nodes"), list) or not graph["nodes"]:
        message = "The graph has no nodes."
        report.error("graph-nodes", message, "Add at least a start and an end node.", path="workflow/graph/nodes")
        return False
    if not isinstance(graph.get("edges", []), list):
        report.error("graph-edges", "edges is not a list.", "Make it a list.", path="workflow/graph/edges")
        return False
    if not isinstance(workflow.get("features", {}), Mapping):
        report.error("features-shape", "features is not a mapping.", "Make it one.", path="workflow/features")
    for name in ("environment_variables", "conversation_variables"):
        _variables(workflow.get(name), name, report)
    return True


def _variables(variables: object, field: str, report: Report) -> None:
    path = f"workflow/{field}"
    if variables is not None and not isinstance(variables, list):
        report.error("variable-shape", f"{field} is not a list.", "Make it a list.", path=path)
        return
    if variables and len(mappings(variables)) != len(variables):
        report.error(
            "variable-shape", f"An entry of {field} is not a mapping.", "Write name, value_type, value.", path=path
        )
    seen: set[str] = set()
    for index, variable in enumerate(mappings(variables)):
        name, type_ = variable.get("name"), variable.get("value_type")
        here = f"{path}/{index}"
        if not isinstance(name, str) or not _VARIABLE_NAME.fullmatch(name):
            report.error(
                "variable-name", f"{field}: {name!r} cannot be referred to.", "Use letters, digits and _.", path=here
            )
        elif name in seen:
            report.error("variable-twice", f"{field} has {name} twice.", "Rename one of them.", path=here)
        seen.add(str(name))
        if type_ is not None and not is_one_of(type_, VALUE_TYPES):
            report.error(
                "variable-type", f"{field}: {name} is of no known type {type_!r}.", "Use string, number, …", path=here
            )
