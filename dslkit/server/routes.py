"""What a route is: one row of the table from which handlers and the OpenAPI document are made."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

if TYPE_CHECKING:
    from dslkit.server.jobs import Job
    from dslkit.server.service import Service

Method = Literal["get", "post", "delete"]


@dataclass(slots=True, kw_only=True)
class Request:
    """What a handler passes on: validated, and without anything of Tornado's.

    ``gone`` is set when the client has left.  ``body`` is the route's model; for documents what was sent, parsed.
    """

    service: Service
    request_id: str
    base_url: str
    streams: bool
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer that is not just a model: another status, headers, JSON that is there as text, events of a job."""

    content: BaseModel | str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    events_of: Job | None = None
    cancels: bool = False  # the job, when the client leaves


Act = Callable[[Request], Awaitable[BaseModel | Reply]]


@dataclass(frozen=True, slots=True)
class Route:
    """``query`` and ``body`` are models of what comes in, ``answer`` of what goes out.

    ``document``: the body is a Dify app, as JSON or as YAML.  ``streams``: events on ``Accept: text/event-stream``.
    ``problems`` are statuses besides those that any route may answer with.
    """

    method: Method
    path: str
    act: Act
    summary: str
    answer: type[BaseModel] | None  # None: nothing but events
    _: KW_ONLY
    status: int = 200
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    document: bool = False
    streams: bool = False
    also: Mapping[int, type[BaseModel]] = field(default_factory=dict)  # answers of another status
    problems: tuple[int, ...] = ()
    public: bool = False
    limited: bool = True

    @property
    def has_body(self) -> bool:
        """Whether anything is to be sent."""
        return self.document or self.body is not None
