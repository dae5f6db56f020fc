"""The OpenAPI 3.1 document, made from the table of routes and the models."""

from __future__ import annotations

import re
from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Literal

from pydantic.json_schema import models_json_schema

from dslkit.server.models import Problem
from dslkit.server.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import BaseModel

    from dslkit.server.routes import Route

_REF = "#/components/schemas/{model}"
_HEADERS = {
    "X-Request-ID": "the request's id, as sent or made; calls of a generation carry it as tag request_id",
    "X-Response-Time": "seconds",
    "X-RateLimit-Limit": "requests admitted in a period",
    "X-RateLimit-Remaining": "requests admitted at once from now",
    "X-RateLimit-Reset": "seconds until one more is admitted",
}
_DOCUMENT = {
    "type": "object",
    "description": "a Dify app as its export holds it, or where that is said a plan",
}
Use = tuple["type[BaseModel]", Literal["validation", "serialization"]]


def document(routes: Sequence[Route], base_url: str) -> dict[str, Any]:
    """The document of these routes on a server with that base URL."""
    schemas, definitions = models_json_schema(_models(routes), ref_template=_REF)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method] = _operation(route, schemas)
    components = {
        "schemas": definitions["$defs"],
        "headers": {name: {"description": text, "schema": {"type": "string"}} for name, text in _HEADERS.items()},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "description": "Jupyter Server's token"}},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "dslkit", "version": version("dslkit"), "description": "Dify workflows from plain words."},
        "servers": [{"url": base_url}],
        "paths": paths,
        "components": components,
        "security": [{"token": []}],
    }


def _models(routes: Sequence[Route]) -> list[Use]:
    incoming = {model for route in routes for model in (route.query, route.body) if model}
    outgoing = {model for route in routes for model in (route.answer, *route.also.values()) if model} | {Problem}
    by_name = sorted(((model, "validation") for model in incoming), key=lambda use: use[0].__name__)
    return [*by_name, *sorted(((m, "serialization") for m in outgoing), key=lambda use: use[0].__name__)]  # type: ignore[list-item]  # the literals widen in a tuple


def _operation(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.method}{re.sub(r'[^a-z]+', '_', route.path.removeprefix('/api/v1')).rstrip('_')}",
        "tags": [route.path.removeprefix("/api/v1/").split("/")[0].strip("/")],
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": _responses(route, schemas),
    }
    if route.has_body:
        told["requestBody"] = {"required": True, "content": _body(route, schemas)}
    if route.public:
        told["security"] = []
    return told


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    schema = route.query.model_json_schema(ref_template=_REF)
    needed = set(schema.get("required", ()))
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": found}
        for name, found in schema["properties"].items()
    ]


def _body(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    if route.document:
        return {"application/json": {"schema": _DOCUMENT}, "application/yaml": {"schema": {}}}
    return {"application/json": {"schema": schemas[route.body, "validation"]}}


def _responses(route: Route, schemas: dict[Any, Any]) -> dict[str, Any]:
    named = ("X-Request-ID", "X-Response-Time", *(name for name in _HEADERS if route.limited and "Rate" in name))
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in named}

    def response(status: int, content: dict[str, Any]) -> dict[str, Any]:
        return {"description": HTTPStatus(status).phrase, "headers": headers, "content": content}

    found = {}
    for status, model in {route.status: route.answer, **route.also}.items():
        content = {"application/json": {"schema": schemas[model, "serialization"]}} if model else {}
        if route.streams and status == route.status:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        found[str(status)] = response(status, content)
    for status in sorted(_problems(route)):
        problem = {MEDIA_TYPE: {"schema": schemas[Problem, "serialization"]}}
        if str(status) in found:
            found[str(status)]["content"] |= problem
        else:
            found[str(status)] = response(status, problem)
    return found


def _problems(route: Route) -> set[int]:
    found = {405, 500, *route.problems}
    if not route.public:
        found |= {401, 403, 404}
    if route.limited:
        found |= {429}
    if route.query is not None:
        found |= {422}
    if route.has_body:
        found |= {400, 413, 415, 422}
    return found
