"""The extension itself: puts the routes into a Jupyter server, and lets them finish when it stops."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from tornado import web
from tornado.routing import PathMatches, Rule
from traitlets import Bool, Float

from dslkit.server import request_log
from dslkit.server.handlers import SETTING, NothingHere, RouteHandler
from dslkit.server.paths import Paths
from dslkit.server.reports import ReportsHandler
from dslkit.server.service import Service
from dslkit.server.table import ROUTES
from dslkit.settings import load_settings

if TYPE_CHECKING:
    from dslkit.server.routes import Route


class DslkitService(ExtensionApp):
    """``dslkit`` in a Jupyter server: /api/v1/, /health, /reports/."""

    name = "dslkit"
    extension_url = "/api/v1/info"
    load_other_extensions = True
    warm = Bool(default_value=False, help="Start the generating processes with the server.").tag(config=True)
    idle_timeout = Float(
        120.0, help="Seconds for the head of a request to arrive, and for which a quiet connection is kept."
    ).tag(config=True)

    def initialize_settings(self) -> None:
        """Read the settings; a wrong one stops the extension with its name and the remedy."""
        settings = load_settings()
        request_log.set_up(settings.log_format)
        self.service = Service(settings)
        self.settings[SETTING] = self.service

    def initialize_handlers(self) -> None:
        """All paths of ours."""
        by_path: dict[str, dict[str, Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, {})[route.method] = route
        assert self.serverapp is not None
        application, base = self.serverapp.web_app, self.settings["base_url"]
        paths = Paths(application, base, self.service.settings.max_request_bytes, NothingHere)
        for path, routes in by_path.items():
            paths.add(path, RouteHandler, {"routes": routes})
        paths.add("/reports/", ReportsHandler, {})
        paths.add("/reports/{name}", ReportsHandler, {})
        ours = PathMatches(re.escape(base) + r"(?:api/v1|health|reports)(?:/.*)?")
        # Jupyter's own add_handlers looks into handlers for authentication: ours see to it in prepare.
        web.Application.add_handlers(application, ".*$", [Rule(ours, paths)])

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        serverapp.http_server.conn_params.header_timeout = self.idle_timeout  # Jupyter leaves it at Tornado's hour
        self.service.observe()
        self.service.pool.jobs.drop_stale(time.time())
        if self.warm:
            self.service.pool.warm()

    async def stop_extension(self) -> None:
        """Finish what runs: Jupyter has closed its port by now."""
        await self.service.stop()
