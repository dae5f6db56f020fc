"""The reports folder as pages: an index and the HTML files, which may run nothing and load nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from jupyter_server.auth.decorator import allow_unauthenticated

from dslkit.server.handlers import ServiceHandler
from dslkit.server.problems import ProblemError

if TYPE_CHECKING:
    from pathlib import Path

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
    "<title>Reports</title><style>body{font:1rem/1.6 system-ui;margin:2rem auto;max-width:48rem;padding:0 1rem}"
    "td{padding-right:2rem}</style><h1>Reports</h1>"
)


class ReportsHandler(ServiceHandler):
    """``/reports/`` and ``/reports/NAME.html``; a person without a login is sent to the login page."""

    @property
    def content_security_policy(self) -> str:
        """Nothing but what is in the page itself."""
        return f"{_POLICY}; frame-ancestors 'self'; sandbox allow-popups"

    async def _authorize(self) -> None:
        if self.current_user or self.request.method not in {"GET", "HEAD"}:
            await super()._authorize()
            return
        self.redirect(f"{self.settings['login_url']}?{urlencode({'next': self.request.uri or ''})}")

    @allow_unauthenticated
    async def get(self, name: str = "") -> None:
        """One report, or the list of all."""
        self.heard()
        if self.request.path.endswith("/reports"):  # where the links of the index would be wrong
            self.redirect(f"{self.base_url}reports/")
            return
        folder = self.service.settings.reports
        page = await asyncio.to_thread(_page, folder, name) if name else await asyncio.to_thread(_index, folder)
        if page is None:
            raise ProblemError(404, "There is no such report; /reports/ lists all.")
        self.finish(page, set_content_type="text/html; charset=utf-8")

    head = get

    @allow_unauthenticated
    async def _refuse(self, _name: str = "") -> None:
        self.heard()
        raise ProblemError(405, "Reports are read.", headers={"Allow": "GET, HEAD"})

    post = delete = put = patch = _refuse


def _page(folder: Path, name: str) -> bytes | None:
    """The file of that name in the folder itself; a link that leads out of it is none."""
    return (folder / name).read_bytes() if _is_page(folder, name) else None


def _is_page(folder: Path, name: str) -> bool:
    try:
        path = (folder / name).resolve()
        return path.parent == folder.resolve() and path.suffix == ".html" and path.is_file()
    except (OSError, ValueError):  # no name of a file at all
        return False


def _index(folder: Path) -> bytes:
    names = [path.name for path in folder.glob("*.html") if _is_page(folder, path.name)]
    found = sorted(((folder / name).stat().st_mtime, name) for name in names)
    rows = [
        f'<tr><td><a href="{quote(name)}">{escape(name.removesuffix(".html"))}</a>'
        f"<td>{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
        for at, name in reversed(found)
    ]
    body = f"<table>{''.join(rows)}</table>" if rows else "<p>None yet: <code>dslkit report -o reports/one.html</code>"
    return f"{_HEAD}{body}</html>".encode()
