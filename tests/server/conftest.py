"""A server as `dslkit serve` starts it, in a process of its own, with the offline model."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOKEN = "an-unguessable-token-of-the-tests"
DSLKIT = Path(sys.executable).parent / "dslkit"
PATIENCE_S = 200  # a busy machine may stand still for minutes


class Served:
    """A server under way: ask it, read its log, end it."""

    def __init__(self, folder: Path, environment: dict[str, str], arguments: tuple[str, ...]) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_file = folder / "server.log"
        foreign = ("DSLKIT_", "OPENAI_", "JUPYTER")
        given = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        given |= {"DSLKIT_HOME": str(self.home), "JUPYTER_TOKEN": TOKEN}
        given |= {f"JUPYTER_{what.upper()}_DIR": str(folder / what) for what in ("config", "runtime", "data")}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [DSLKIT, "serve", "--port", str(self.port), "--allow-root", *arguments],
                cwd=folder,
                env=given | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def wait(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            try:
                if httpx.get(f"{self.url}/health", timeout=PATIENCE_S).status_code == 200:
                    return
            except httpx.TransportError:
                assert self.process.poll() is None, self.log
                time.sleep(0.05)
        raise AssertionError(self.log)

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"token {TOKEN}", **headers}, timeout=PATIENCE_S
        )

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self.client() as client:
            return client.request(method, path, **options)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, environment: dict[str, str] | None = None, *arguments: str) -> Iterator[Served]:
    folder.mkdir(parents=True, exist_ok=True)
    server = Served(folder, environment or {}, arguments)
    try:
        server.wait()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for a module, without limits."""
    with serving(tmp_path_factory.mktemp("served"), {"DSLKIT_RATE_LIMIT_ENABLED": "false"}) as server:
        yield server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start a server with settings; it ends with the test."""
    started: list[Any] = []

    def start(*arguments: str, **environment: str) -> Served:
        context = serving(tmp_path / f"server{len(started)}", environment, *arguments)
        started.append(context)
        return context.__enter__()

    yield start
    for context in started:
        context.__exit__(None, None, None)
