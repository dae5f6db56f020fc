"""Routes for Dify documents: validate, convert, import, and the kinds of node there are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from dslkit.dify.check import quality_score, verdict
from dslkit.dify.compile import DEFAULT_DSL_VERSION
from dslkit.dify.nodes import NODE_KINDS, mappings
from dslkit.dify.workflow import Workflow
from dslkit.records import EngineRun
from dslkit.server.models import (
    ConvertAnswer,
    ConvertQuery,
    Counts,
    Features,
    ImportAnswer,
    ImportMetadata,
    NodeType,
    NodeTypes,
    ValidateAnswer,
    ValidateQuery,
)
from dslkit.server.problems import ProblemError
from dslkit.server.routes import Request, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from dslkit.dify.engine import Engine
    from dslkit.records import Finding

_ROOT = "/api/v1/dify"


def _texts(found: Iterable[Finding], severity: str) -> list[str]:
    return [finding.message for finding in found if finding.severity == severity]


def _graph(document: Mapping[str, Any]) -> tuple[list[str], int]:
    """The types of its nodes and the number of its edges, as far as there are any."""
    workflow = document.get("workflow")
    graph = workflow.get("graph") if isinstance(workflow, dict) else None
    if not isinstance(graph, dict):
        return [], 0
    types = [str((node.get("data") or {}).get("type", "")) for node in mappings(graph.get("nodes"))]
    return types, len(mappings(graph.get("edges")))


async def _validate(request: Request) -> ValidateAnswer:
    engine = await asyncio.to_thread(lambda: request.service.engine) if request.query.engine else None
    return await asyncio.to_thread(_validated, request.body, engine)


def _validated(text: bytes, engine: Engine | None) -> ValidateAnswer:
    workflow = Workflow.from_yaml(text)
    run = EngineRun(status="not run") if engine is None or workflow.errors else engine.run(workflow.document)
    found = (*workflow.findings, *run.findings)
    types, edges = _graph(workflow.document)
    errors = _texts(found, "error")
    reached = verdict(found, run)
    return ValidateAnswer(
        valid=not errors,
        errors=errors,
        warnings=_texts(found, "warning"),
        stats=Counts(node_count=len(types), edge_count=edges, node_types=sorted(set(types) - {""})),
        verdict=reached,
        quality_score=quality_score(workflow.document, found, reached),
        engine=run.status,
        findings=list(found),
    )


async def _convert(request: Request) -> ConvertAnswer:
    return await asyncio.to_thread(_converted, request.body, request.query)


def _converted(text: bytes, query: ConvertQuery) -> ConvertAnswer:
    """From a plan or a model's reply, or from a Dify document, whichever it is."""
    began = time.perf_counter()
    workflow = Workflow.from_yaml(text, repair=True)
    form = "dify"
    if not isinstance(workflow.document.get("workflow"), dict):
        workflow = Workflow.from_reply(text.decode(errors="replace"), name=query.name, mode=query.mode)
        form = "plan"
    if not workflow.document:
        raise _unreadable(workflow)
    try:
        plan = workflow.plan().model_dump(mode="json", exclude_none=True)
    except ValueError as error:
        raise ProblemError(422, str(error)) from None
    return ConvertAnswer(
        **_taken(workflow),
        plan=plan,
        metadata={"source_format": form, "conversion_time": round(time.perf_counter() - began, 4)},
        warnings=_texts(workflow.findings, "warning"),
    )


async def _import(request: Request) -> ImportAnswer:
    return await asyncio.to_thread(_imported, request.body)


def _imported(text: bytes) -> ImportAnswer:
    workflow = Workflow.from_yaml(text, repair=True)
    document = workflow.document
    app, inner = document.get("app"), document.get("workflow")
    if not isinstance(app, dict) or not isinstance(inner, dict):
        raise _unreadable(workflow)
    types, edges = _graph(document)
    return ImportAnswer(
        **_taken(workflow),
        metadata=ImportMetadata(
            app_name=str(app.get("name", "")),
            app_mode=str(app.get("mode", "")),
            version=str(document.get("version", "")),
            node_count=len(types),
            edge_count=edges,
            node_types=dict(Counter(types)),
            features=Features(
                has_iteration="iteration" in types,
                has_conversation_variables=bool(inner.get("conversation_variables")),
                has_dependencies=bool(document.get("dependencies")),
            ),
        ),
    )


def _taken(workflow: Workflow) -> dict[str, Any]:
    found, made = list(workflow.findings), list(workflow.repairs)
    return {"dsl": workflow.document, "yaml": workflow.yaml, "findings": found, "repairs": made}


def _unreadable(workflow: Workflow) -> ProblemError:
    reason = workflow.errors[0].message if workflow.errors else "it holds no document"
    errors = [{"field": finding.path or "", "message": finding.message} for finding in workflow.errors]
    return ProblemError(422, f"Not a Dify workflow: {reason}", more={"errors": errors})


async def _node_types(_: Request) -> NodeTypes:
    kinds = {
        kind.type: NodeType(
            name=kind.title, required=list(kind.required), container=kind.container, branches=kind.branches
        )
        for kind in NODE_KINDS.values()
    }
    return NodeTypes(node_types=kinds, total=len(kinds), version=DEFAULT_DSL_VERSION)


ROUTES = (
    Route(
        "post", f"{_ROOT}/validate", _validate, "Check a Dify app", ValidateAnswer, query=ValidateQuery, document=True
    ),
    Route(
        "post",
        f"{_ROOT}/convert",
        _convert,
        "Make a Dify app of a plan, and a plan of a Dify app",
        ConvertAnswer,
        query=ConvertQuery,
        document=True,
    ),
    Route("post", f"{_ROOT}/import", _import, "Take a Dify app in: repaired, described", ImportAnswer, document=True),
    Route("get", f"{_ROOT}/node-types", _node_types, "The kinds of node", NodeTypes),
)
