"""All routes; the handlers and the OpenAPI document are made from this table."""

from __future__ import annotations

from dslkit.server import about, dify_files, generation, openapi, patterns
from dslkit.server.models import OpenApi
from dslkit.server.routes import Request, Route


async def _openapi(request: Request) -> OpenApi:
    return OpenApi.model_validate(openapi.document(ROUTES, request.base_url or "/"))


ROUTES: tuple[Route, ...] = (
    *generation.ROUTES,
    *patterns.ROUTES,
    *dify_files.ROUTES,
    *about.ROUTES,
    Route("get", "/api/v1/openapi.json", _openapi, "This document", OpenApi),
)
