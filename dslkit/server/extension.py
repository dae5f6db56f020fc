"""The extension itself: puts the routes into a Jupyter server, and lets them finish when it stops."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.utils import url_path_join
from traitlets import Bool

from dslkit.server import request_log
from dslkit.server.handlers import SETTING, NothingHere, RouteHandler, ServiceHandler
from dslkit.server.reports import ReportsHandler, ReportsRedirect
from dslkit.server.service import Service
from dslkit.server.streamed import rules
from dslkit.server.table import ROUTES
from dslkit.settings import load_settings

if TYPE_CHECKING:
    from dslkit.server.routes import Route

_GROUP = r"(?P<\1>[^/]+)"


class DslkitService(ExtensionApp):
    """``dslkit`` in a Jupyter server: /api/v1/, /health, /reports/."""

    name = "dslkit"
    extension_url = "/api/v1/info"
    load_other_extensions = True
    warm = Bool(default_value=False, help="Start the generating processes with the server.").tag(config=True)

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
        handlers: list[tuple[str, type[ServiceHandler], dict[str, Any]]] = [
            (re.sub(r"\{(\w+)\}", _GROUP, path) + "/?", RouteHandler, {"routes": routes})
            for path, routes in by_path.items()
        ]
        handlers.append((r"/reports/([^/]*)", ReportsHandler, {}))
        handlers += [(path, NothingHere, {}) for path in (r"/api/v1/.*", r"/health/.*", r"/reports/.*")]
        base, most = self.settings["base_url"], self.service.settings.max_request_bytes
        found = (rules(url_path_join(base, path), handler, more, most) for path, handler, more in handlers)
        assert self.serverapp is not None
        self.serverapp.web_app.add_handlers(".*$", [rule for pair in found for rule in pair])  # type: ignore[no-untyped-call]  # Jupyter's is without types
        self.handlers.append((r"/reports", ReportsRedirect, {"url": f"{base}reports/"}))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:  # noqa: ARG002 - Jupyter's hook
        if self.warm:
            self.service.pool.warm()

    async def stop_extension(self) -> None:
        """Finish what runs: Jupyter has closed its port by now."""
        await self.service.stop()
