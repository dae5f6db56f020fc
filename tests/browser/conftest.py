"""A real headless Chromium that may talk to this machine only, and a JupyterLab of its own on a free port."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, Request

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
LOOPBACK = {"127.0.0.1", "localhost", "::1", None}
START_PATIENCE_S = 120.0
CELL_PATIENCE_MS = 60_000
# The page's own view of its kernel: what the server says of it comes earlier, and cells run before then are dropped.
CONNECTED = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
  const kernel = context?.session?.kernel;
  return context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
ERROR = ".jp-Notebook .jp-RenderedText[data-mime-type*=error]"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser of the system; playwright's own would have to be downloaded."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        reason = "no Chromium on PATH: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Ends with its module: playwright keeps an event loop running, in which other tests could start none."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Opens pages (width, colour scheme); a request to another machine, or an error of the page, fails the test."""
    strangers: list[str] = []
    pages: list[Page] = []

    def watch(asked: Request) -> None:
        if (
            urlsplit(asked.url).scheme in {"http", "https", "ws", "wss"}
            and urlsplit(asked.url).hostname not in LOOPBACK
        ):
            strangers.append(asked.url)

    def opened(*, width: int = 1280, height: int = 900, dark: bool = False) -> Page:
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        page.on("request", watch)
        pages.append(page)
        return page

    yield opened
    for number, page in enumerate(pages):
        if not page.is_closed():
            keep(page, f"{request.node.name}-{number}-last")
            page.close()
    assert strangers == [], "the page asked other machines"


def run_all(page: Page, address: str, notebook: str, shown: str) -> None:
    """Open a notebook and run all its cells from the menu, until what the locator ``shown`` names is there."""
    page.goto(address.format(notebook))
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=CELL_PATIENCE_MS)
    page.wait_for_function(CONNECTED, timeout=CELL_PATIENCE_MS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(f"{ERROR}, {shown}").first.wait_for(timeout=CELL_PATIENCE_MS)
    assert page.locator(ERROR).all_inner_texts() == []


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a JupyterLab over a copy of our notebooks; parametrize it with a theme."""
    root = tmp_path / "work"
    shutil.copytree(ROOT / "notebooks", root)
    with jupyterlab(root, theme=getattr(request, "param", "JupyterLab Light")) as address:
        yield address


@pytest.fixture
def classic(tmp_path: Path) -> Iterator[str]:
    """The address of a Jupyter Notebook 7 over a copy of our notebooks."""
    root = tmp_path / "work"
    shutil.copytree(ROOT / "notebooks", root)
    with jupyterlab(root, app="notebook") as address:
        yield address


def keep(page: Page, name: str) -> None:
    """A screenshot for eyes, where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


@contextmanager
def jupyterlab(root: Path, *, theme: str = "JupyterLab Light", app: str = "jupyterlab") -> Iterator[str]:
    """A JupyterLab (or ``notebook``) over ``root``; gives the address of its notebooks, with a query that lets in."""
    token = secrets.token_hex(16)
    state = root.parent / "jupyter"
    environment = {**os.environ, **_settings(state, theme), "JUPYTER_TOKEN": token}
    command = [
        sys.executable,
        "-m",
        app,
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
    ]
    quiet = ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (
        (state / "log.txt").open("w") as log,
        subprocess.Popen(
            [*command, *quiet, f"--ServerApp.root_dir={root}"], env=environment, stdout=log, stderr=log, cwd=root
        ) as server,
    ):
        try:
            page = "notebooks" if app == "notebook" else "lab/tree"
            yield f"http://127.0.0.1:{_port(state, server)}/{page}/{{}}?token={token}"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def _settings(state: Path, theme: str) -> dict[str, str]:
    """Folders of its own, and settings that draw every cell at once and keep Lab from asking about news."""
    wanted = {
        "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
        "@jupyterlab/apputils-extension/notification": {
            "checkForUpdates": False,
            "doNotDisturbMode": True,
            "fetchNews": "false",
        },
        "@jupyterlab/apputils-extension/themes": {"theme": theme},
    }
    for name, values in wanted.items():
        path = state / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    folders = {"JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data"}
    folders |= {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
    }
    return {name: str(state / folder) for name, folder in folders.items()}


def _port(state: Path, server: subprocess.Popen[bytes]) -> int:
    """The port that the server took, as it notes in its runtime folder once it listens."""
    deadline = time.monotonic() + START_PATIENCE_S
    while time.monotonic() < deadline and server.poll() is None:
        for path in (state / "runtime").glob("jpserver-*.json"):
            try:
                return int(json.loads(path.read_text())["port"])
            except ValueError:
                continue  # being written
        time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{(state / 'log.txt').read_text()[-3000:]}")
