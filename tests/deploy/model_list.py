"""A server that lists models, or refuses to, on loopback."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ModelList(ThreadingHTTPServer):
    """Answers ``status``; 200 lists ``models``, a redirect leads to ``location``.  ``keys`` are those it was shown,
    ``health`` is what it says anywhere else."""

    daemon_threads = True

    def __init__(self, status: int, models: tuple[str, ...] = (), location: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.models, self.location = status, models, location
        self.keys: list[str | None] = []
        self.health: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class _Handler(BaseHTTPRequestHandler):
    server: ModelList

    def do_GET(self) -> None:
        self.server.keys.append(self.headers["Authorization"])
        listed = {"data": [{"id": name} for name in self.server.models]}
        body = json.dumps(listed if self.path.endswith("/models") else self.server.health).encode()
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def listing(status: int = 200, *models: str, location: str = "") -> Iterator[ModelList]:
    with ModelList(status, models, location) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
