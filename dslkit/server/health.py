"""Whether work can be done: the ledger takes records, the disk has room, the model's server answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from dslkit.server.models import Check, Readiness
from dslkit.settings import OFFLINE_MODEL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dslkit.settings import Settings

FRESH_S = 10.0
ROOM_BYTES = 256 * 1024 * 1024
TIMEOUT_S = 3.0
_OPENAI_URL = "https://api.openai.com/v1"
_REFUSED, _SERVER_ERROR = {401, 403}, 500


class ReadinessBoard:
    """The checks, made at most every ten seconds, in threads: probes come often, and a slow disk must not hold us."""

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._now = now
        self._shown: Readiness | None = None
        self._checked_at = 0.0
        self._checking: asyncio.Task[Readiness] | None = None

    async def look(self) -> Readiness:
        """How things stand, no older than ten seconds."""
        if self._shown is not None and self._now() - self._checked_at < FRESH_S:
            return self._shown
        if self._checking is None:
            self._checking = asyncio.ensure_future(self._check())
        return await asyncio.shield(self._checking)

    async def _check(self) -> Readiness:
        try:
            home = self._settings.home
            jobs = {
                "ledger": partial(_writable, home),
                "disk": partial(_room, home),
                "model": partial(_reachable, self._settings),
            }
            found = await asyncio.gather(*(asyncio.to_thread(job) for job in jobs.values()))
            checks = dict(zip(jobs, found, strict=True))
            status = "ready" if all(check.ok for check in found) else "not ready"
            told = {"status": status, "checks": checks, "checked_at": datetime.now(UTC)}
            self._shown, self._checked_at = Readiness.model_validate(told), self._now()
            return self._shown
        finally:
            self._checking = None


def _writable(home: Path) -> Check:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"ready?")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return Check(ok=False, detail=f"the home (DSLKIT_HOME) cannot be written: {error.strerror}")
    return Check(ok=True, detail="the ledger's folder takes records")


def _room(home: Path) -> Check:
    free = shutil.disk_usage(next(folder for folder in (home, *home.resolve().parents) if folder.exists())).free
    return Check(ok=free >= ROOM_BYTES, detail=f"{free // 1_000_000:,} MB free, {ROOM_BYTES // 1_000_000} needed")


def _reachable(settings: Settings) -> Check:
    """Ask for the list of models, which costs nothing.  Any answer but a refusal of the key will do."""
    if settings.model == OFFLINE_MODEL:
        return Check(ok=True, detail="the offline model is always there")
    if settings.openai_api_key is None:
        return Check(ok=False, detail="OPENAI_API_KEY is not set")
    url = f"{(settings.openai_base_url or _OPENAI_URL).rstrip('/')}/models"
    if not url.startswith(("http://", "https://")):
        return Check(ok=False, detail="OPENAI_BASE_URL must begin with http:// or https://")
    headers = {"Authorization": f"Bearer {settings.openai_api_key.get_secret_value()}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S):  # noqa: S310 - http or https, as seen above
            return Check(ok=True, detail="the model's server answers")
    except urllib.error.HTTPError as error:
        with error:
            refused = error.code in _REFUSED
            detail = "the model's server refuses the key" if refused else f"the model's server answers {error.code}"
            return Check(ok=not refused and error.code < _SERVER_ERROR, detail=detail)
    except (OSError, ValueError) as error:
        return Check(ok=False, detail=f"the model's server cannot be reached: {type(error).__name__}")
