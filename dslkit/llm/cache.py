"""Answers by content of the request, on disk, so that nothing answered is paid for twice.

A request's name is a hash of its address and its body with sorted keys.  An answer is written aside, made durable and
renamed into place before its call counts as settled: whatever kills the process, what was paid for is found again.  Of
equal requests under way at once, in this process or another, one goes to the server.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORMAT = 1
_KEPT_HEADERS = ("content-type", "x-request-id", "openai-version")
_NO_MATTER = frozenset({"user", "metadata", "safety_identifier", "store", "stream_options"})  # do not shape the answer


@dataclass(frozen=True, slots=True)
class Stored:
    """An answer as the server gave it: the headers worth keeping, and the decoded body."""

    headers: Mapping[str, str]
    body: bytes


class AnswerStore:
    """The answers in one folder.  All methods block for as long as a disk does; any number of processes at once."""

    def __init__(self, folder: Path | str) -> None:
        self._folder = Path(folder)

    def key(self, url: str, body: bytes) -> str:
        """The name of a request; equal for bodies that differ in order of keys, spacing or who asks."""
        fields = json.loads(body)
        kept = {name: value for name, value in fields.items() if name not in _NO_MATTER}
        canonical = json.dumps(kept, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.blake2b(f"{url}\0{canonical}".encode(), digest_size=24).hexdigest()

    def get(self, key: str) -> Stored | None:
        """The answer kept under ``key``; None when there is none, or only a damaged one."""
        try:
            entry: dict[str, Any] = json.loads(self._path(key).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if entry.get("format") != _FORMAT:
            return None
        return Stored(entry["headers"], entry["body"].encode())

    def put(self, key: str, headers: Mapping[str, str], body: bytes) -> None:
        """Keep an answer; durable when this returns."""
        kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
        entry = json.dumps({"format": _FORMAT, "headers": kept, "body": body.decode()}, ensure_ascii=False)
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_durably(path, entry.encode())

    def lock(self, key: str) -> int | None:
        """Become the one who asks the server for ``key``: a descriptor to close when done; None when another is."""
        path = self._path(key).with_suffix(".asking")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_ino == path.stat().st_ino:  # else its last holder has just removed it
                return file
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(file)
        return None

    def unlock(self, key: str, file: int) -> None:
        """Let others ask again."""
        self._path(key).with_suffix(".asking").unlink(missing_ok=True)
        os.close(file)

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key[2:]}.json"


def _write_durably(path: Path, content: bytes) -> None:
    file, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".new")
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            _sync(stream.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sync(file: int) -> None:
    """Make a file durable; on macOS only F_FULLFSYNC does."""
    if hasattr(fcntl, "F_FULLFSYNC"):
        fcntl.fcntl(file, fcntl.F_FULLFSYNC)
    else:
        os.fsync(file)
