"""Routes about the service itself: what it is, whether it lives, whether it can work."""

from __future__ import annotations

from importlib.metadata import version

from dslkit.server.models import Health, Info, Readiness
from dslkit.server.routes import Reply, Request, Route

_NOT_READY = 503
_VERSION = version("dslkit")  # looks into files


async def _info(request: Request) -> Info:
    settings = request.service.settings
    limit = {"requests": settings.rate_limit_requests, "period_s": settings.rate_limit_period}
    return Info(
        name="dslkit",
        version=_VERSION,
        endpoints={
            "generation": "/api/v1/generate/*",
            "patterns": "/api/v1/patterns/*",
            "dify": "/api/v1/dify/*",
            "openapi": "/api/v1/openapi.json",
            "reports": "/reports/",
            "health": "/health",
        },
        features=["simple, full and multi-agent generation", "progress as server-sent events", "usage from the ledger"],
        model=settings.model,
        rate_limit=limit if settings.rate_limit_enabled else None,
    )


async def _health(_: Request) -> Health:
    return Health()


async def _ready(request: Request) -> Reply:
    found = await request.service.readiness.look()
    return Reply(content=found, status=200 if found.status == "ready" else _NOT_READY)


ROUTES = (
    Route("get", "/api/v1/info", _info, "What this service is", Info),
    Route("get", "/health", _health, "It lives", Health, public=True, limited=False),
    Route(
        "get",
        "/health/ready",
        _ready,
        "Whether work can be done: 503 when not",
        Readiness,
        also={503: Readiness},
        limited=False,
    ),
)
