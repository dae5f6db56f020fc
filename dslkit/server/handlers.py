"""Tornado's side: what every request of ours goes through, and the handlers made from the table of routes.

In this order: an id, a line in the log, the limit of its client, then Jupyter's own checks (host,
token or cookie, cross-site rules), then the route.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections.abc import Awaitable
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.auth.utils import HTTP_METHOD_TO_AUTH_ACTION
from jupyter_server.base.handlers import APIHandler
from jupyter_server.prometheus.log_functions import prometheus_log_method
from pydantic import BaseModel, ValidationError
from tornado import web
from tornado.iostream import StreamClosedError

from dslkit.errors import DslkitError
from dslkit.server import problems
from dslkit.server.bodies import json_of
from dslkit.server.problems import ProblemError
from dslkit.server.request_log import CLIENT_LEFT, Entry, request_id_of
from dslkit.server.routes import Reply, Request, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dslkit.server.jobs import Job
    from dslkit.server.service import Service

SETTING = "dslkit_service"
RESOURCE = "dslkit"
BEAT_S = 15.0  # a comment goes out so often, or proxies take a quiet stream for dead
EXPOSED = "X-Request-ID, X-Response-Time, X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset, Location"
_SERVER_ERROR = 500


class ServiceHandler(APIHandler):
    """What all our answers have in common."""

    public = False
    limited = True
    _quota: tuple[tuple[str, str], ...] = ()

    def set_default_headers(self) -> None:
        """Headers of every answer, errors too: Tornado clears them before it writes one."""
        super().set_default_headers()
        self.set_header("X-Request-ID", self.request_id)
        self.set_header("Cache-Control", "no-store")
        self._tell_quota()

    def _tell_quota(self) -> None:
        for name, value in self._quota:
            self.set_header(name, value)

    @cached_property
    def request_id(self) -> str:
        """The client's own id of the request, or a new one."""
        return request_id_of(self.request.headers.get("X-Request-ID"))

    def initialize(self, **_: Any) -> None:
        """The request is here."""
        self.gone = asyncio.Event()
        self.service: Service = self.settings[SETTING]
        self.service.entered()
        peer = self.request.connection.context.address  # type: ignore[union-attr]  # before trust_xheaders rewrites it
        self._client = self.service.client(peer[0] if isinstance(peer, tuple) else "", self.request.headers.get)
        self._entry = Entry(self.request_id, self._client.name, self.request.method or "", self.request.path)
        self._entry.came(self.service.settings.log_format)

    async def prepare(self) -> None:  # type: ignore[override]  # as Jupyter's own handlers do
        """Everything that comes before the route."""
        self._count(self._client.number)
        if not self.public:
            await super().prepare()
            await self._authorize()

    def _count(self, client: int) -> None:
        limiter = self.service.limiter
        if limiter is None or not self.limited or self.request.method == "OPTIONS":
            return
        admission = limiter.admit(client)
        reset = str(math.ceil(admission.reset_s))
        self._quota = (
            ("X-RateLimit-Limit", str(admission.limit)),
            ("X-RateLimit-Remaining", str(admission.remaining)),
            ("X-RateLimit-Reset", reset),
        )
        self._tell_quota()
        if not admission.admitted:
            raise ProblemError(
                429,
                f"Too many requests: {admission.limit} in {self.service.settings.rate_limit_period:g} s are admitted.",
                headers={"Retry-After": reset},
                more={"retry_after": math.ceil(admission.reset_s)},
            )

    def check_xsrf_cookie(self) -> None:
        """Who is nobody is told that first."""
        if getattr(self, "_jupyter_current_user", None):
            super().check_xsrf_cookie()

    async def _authorize(self) -> None:
        if self.request.method == "OPTIONS":
            return
        if not self.current_user:
            how = {"WWW-Authenticate": 'Bearer realm="Jupyter Server"'}
            raise ProblemError(401, "Send the token of the Jupyter server in the header Authorization.", headers=how)
        action = HTTP_METHOD_TO_AUTH_ACTION[self.request.method or "GET"]
        allowed = self.authorizer.is_authorized(self, self.current_user, action, RESOURCE)
        if not (await allowed if isinstance(allowed, Awaitable) else allowed):
            raise ProblemError(403, f"You may not {action} here.")

    def heard(self) -> bytes:
        """The body."""
        return self.request.body

    # Cross-origin: our own list of origins counts where there is one, Jupyter's settings where there is none.

    @property
    def allow_origin(self) -> str:
        """The origin that asks, when it is on the list."""
        listed, origin = self.service.settings.cors_origins, self.request.headers.get("Origin")
        if not listed:
            return super().allow_origin
        return origin if origin and ("*" in listed or origin in listed) else ""

    def set_cors_headers(self) -> None:
        """Tell a browser whether the page that asks may read the answer."""
        if not self.request.headers.get("Origin"):
            return
        if not self.service.settings.cors_origins:
            super().set_cors_headers()
        elif self.allow_origin:
            self.set_header("Access-Control-Allow-Origin", self.allow_origin)
        self.set_header("Access-Control-Expose-Headers", EXPOSED)
        self.set_header("Vary", "Origin")

    # Answers

    def flush(self, include_footers: bool = False) -> Any:  # noqa: FBT001, FBT002 - Tornado's signature
        """Headers leave with the time it took until then."""
        if not self._headers_written:
            self.set_header("X-Response-Time", f"{self.request.request_time():.3f}s")
        return super().flush(include_footers)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """An error as problem+json; what went wrong inside us stays in the log."""
        error = kwargs.get("exc_info", (None, None))[1]
        detail, more = self._told(status_code, error)
        if getattr(self, "_jupyter_current_user", None) is not None:
            self.set_cors_headers()
        for name, value in (error.headers if isinstance(error, ProblemError) else {}).items():
            self.set_header(name, value)
        told = problems.body(status_code, detail, self.request_id, more)
        self.finish(json.dumps(told), set_content_type=problems.MEDIA_TYPE)

    def _told(self, status: int, error: BaseException | None) -> tuple[str, Mapping[str, Any]]:
        if isinstance(error, ProblemError):
            return error.detail, error.more
        if isinstance(error, web.HTTPError) and status < _SERVER_ERROR:
            return error.log_message or error.reason or "Refused.", {}
        return problems.went_wrong(self.request_id), {}

    def get_login_url(self) -> str:
        """A program is not sent to a page."""
        raise ProblemError(401, "Send the token of the Jupyter server in the header Authorization.")

    # The log

    def log_exception(self, *_: Any) -> None:
        """The line of the answer carries the trace."""
        self._raised = sys.exc_info()

    def _log(self) -> None:
        self._answered(self.get_status())
        if getattr(self.settings.get("serverapp"), "record_http_request_metrics", False):
            prometheus_log_method(self)  # type: ignore[no-untyped-call]  # Jupyter's is without types

    def _answered(self, status: int) -> None:
        entry = self.__dict__.pop("_entry", None)
        if entry is None:  # told already
            return
        self.service.left()
        raised: Any = getattr(self, "_raised", None)
        own = raised is not None and not isinstance(raised[1], web.HTTPError)
        if own and status >= _SERVER_ERROR:
            self.service.report(raised[1], self.request_id)
        seconds = time.time() - self.request._start_time  # noqa: SLF001 - request_time() stands still once it is over
        entry.answered(self.service.settings.log_format, status, seconds, raised if own else None)

    def on_connection_close(self) -> None:
        """The client left before it had its answer."""
        super().on_connection_close()
        self.gone.set()
        self._answered(CLIENT_LEFT)


class RouteHandler(ServiceHandler):
    """All methods of one path."""

    def initialize(self, **options: Any) -> None:
        """Take the routes by method: the option ``routes``."""
        super().initialize()
        routes: Mapping[str, Route] = options["routes"]
        self._routes = routes
        route = routes.get((self.request.method or "").lower())
        self.public = route.public if route else False
        self.limited = route.limited if route else True

    @property
    def _allowed(self) -> str:
        return ", ".join(sorted(name.upper() for name in self._routes))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """As everywhere; a method that is not there is told which are, also by Tornado, who knows fewer."""
        if status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            self.set_header("Allow", self._allowed)
        super().write_error(status_code, **kwargs)

    @allow_unauthenticated  # what Jupyter need not check, for prepare has
    async def _serve(self, **path: str) -> None:
        self._text = self.heard()
        method = (self.request.method or "").lower()
        route = self._routes.get("get" if method == "head" else method)
        if route is None:
            raise ProblemError(405, f"This path takes {self._allowed}.")
        accept = self.request.headers.get("Accept", "")
        request = Request(
            service=self.service,
            request_id=self.request_id,
            base_url=self.base_url.rstrip("/"),
            streams=route.streams and "text/event-stream" in accept,
            path=path,
            gone=self.gone,
        )
        try:
            if route.query is not None:
                request.query = route.query.model_validate(self._query())
            request.body = self._body(route)
        except ValidationError as error:
            raise problems.invalid(error) from None
        await self._reply(await self._acted(route, request))

    get = post = delete = put = patch = head = _serve

    async def _acted(self, route: Route, request: Request) -> Reply:
        try:
            answer = await route.act(request)
        except DslkitError as error:
            raise ProblemError(problems.status_of(error), str(error)) from error
        return answer if isinstance(answer, Reply) else Reply(content=answer, status=route.status)

    def _query(self) -> dict[str, str]:
        """The parameters by name; one that comes twice is nobody's meaning."""
        found: dict[str, str] = {}
        for name, values in self.request.query_arguments.items():
            if len(values) > 1:
                raise ProblemError(422, f"{name}: given {len(values)} times.")
            found[name] = self.decode_argument(values[0], name)
        return found

    def _body(self, route: Route) -> Any:
        if not route.has_body:
            return None
        text, kind = self._text, self.request.headers.get("Content-Type", "")
        if route.document:
            if "json" in kind:
                if not isinstance(json_of(text), dict):
                    raise ProblemError(422, "The body must be an object.")
            elif "yaml" not in kind and "text/plain" not in kind:
                raise ProblemError(415, "Send a Dify app as application/json or application/yaml.")
            return text
        if "json" not in kind:
            raise ProblemError(415, "Send application/json.")
        assert route.body is not None
        return route.body.model_validate(json_of(text))

    async def _reply(self, reply: Reply) -> None:
        self.set_status(reply.status)
        for name, value in reply.headers.items():
            self.set_header(name, value)
        if reply.events_of is not None:
            await self._stream(reply.events_of, cancels=reply.cancels)
        elif isinstance(reply.content, BaseModel):
            self.finish(reply.content.model_dump_json())
        else:
            self.finish(reply.content or "")

    async def _stream(self, job: Job, *, cancels: bool) -> None:
        """A job's events as they happen, then its result; from behind the one that the client saw last."""
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
        last = self.request.headers.get("Last-Event-ID", "")
        events = job.watch(int(last) + 1 if last.isdecimal() else 0)
        try:
            waiting = asyncio.ensure_future(anext(events, None))
            while not self.gone.is_set():
                done, _ = await asyncio.wait([waiting], timeout=BEAT_S)
                if not done:
                    self.write(": still there\n\n")
                elif (found := waiting.result()) is None:
                    break
                else:
                    self.write(_event(*found, job))
                    waiting = asyncio.ensure_future(anext(events, None))
                await self.flush()
        except StreamClosedError:
            self.gone.set()
        finally:
            waiting.cancel()
            if cancels and self.gone.is_set():
                self.service.pool.cancel(job)
        if not self.gone.is_set():
            self.finish(set_content_type="text/event-stream")


def _event(number: int, event: Mapping[str, Any], job: Job) -> str:
    """In the form of the HTML standard; the last one carries what came of it."""
    told = json.dumps({"id": job.id, **event})
    if event["event"] == "done" and job.result is not None:
        told = f'{told[:-1]}, "result": {job.result}}}'
    if event["event"] == "failed" and job.problem is not None:
        told = json.dumps({"id": job.id, **event, "problem": problems.without_secrets(job.problem)})
    return f"id: {number}\nevent: {event['event']}\ndata: {told}\n\n"


class NothingHere(ServiceHandler):
    """Paths below ours that lead nowhere."""

    @allow_unauthenticated
    async def _serve(self, **_: str) -> None:
        self.heard()
        raise ProblemError(404, "There is nothing here; /api/v1/openapi.json has all paths.")

    get = post = delete = put = patch = head = _serve
