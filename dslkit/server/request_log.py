"""One line when a request comes in and one when it is answered, for people or as JSON for programs."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TextIO

if TYPE_CHECKING:
    from types import TracebackType

LOGGER = logging.getLogger("dslkit.requests")
CLIENT_LEFT = 499  # nginx's number for a client that did not wait for the answer
_BARE = "%(message)s"
_WARNING_FROM, _ERROR_FROM = 400, 500
_WELL_FORMED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")

Format = Literal["text", "json"]
Raised = tuple[type[BaseException], BaseException, "TracebackType | None"]


def request_id_of(given: str | None) -> str:
    """The id that a request came with, if it is one (8 to 64 letters, digits, ``._:-``), else a new UUID."""
    return given if given and _WELL_FORMED.fullmatch(given) else str(uuid.uuid4())


def set_up(form: Format) -> None:
    """Send the log to standard error; text with the time before it, JSON as it is."""
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
    handler = _Lines(sys.stderr)
    handler.setFormatter(_Plain(_BARE if form == "json" else "%(asctime)s %(levelname)-7s %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False


class _Plain(logging.Formatter):
    """Times in UTC; of the same second they are made once."""

    _second, _text = -1, ""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - its signature
        """As ``2026-11-25 08:30:00,123``."""
        return self.stamp(record.created)

    def stamp(self, at: float) -> str:
        """The same of seconds since 1970."""
        second = int(at)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(second))
        return f"{self._text},{int((at - second) * 1000):03d}"

    def formatException(self, ei: Any) -> str:  # noqa: N802 - its name
        """The stack trace, without anything that looks like a credential."""
        from dslkit.ledger.redact import redact  # noqa: PLC0415 - loads the ledger

        return redact(super().formatException(ei))

    def line(self, level: int, text: str) -> str:
        """What a record of this text would be formatted to."""
        return text if self._fmt == _BARE else f"{self.stamp(time.time())} {logging.getLevelName(level):<7} {text}"


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines without making records of them, which is two thirds of what a line costs."""

    formatter: _Plain

    def put(self, level: int, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # nobody reads it any more
            self.stream.write(f"{self.formatter.line(level, text)}\n")
            self.stream.flush()


@dataclass(frozen=True, slots=True)
class Entry:
    """What both lines say of a request."""

    request_id: str
    client: str
    method: str
    path: str

    def came(self, form: Format) -> None:
        """Write the line of its arrival."""
        if form == "json":
            _write(logging.INFO, self._json("info", event="request"))
        else:
            _write(logging.INFO, f"[{self.request_id}] ➡️ {self.method} {self._shown} from {self.client}")

    def answered(self, form: Format, status: int, seconds: float, raised: Raised | None = None) -> None:
        """Write the line of its answer; a failure of ours carries the stack trace."""
        level, mark = _level(status)
        trace = raised if status >= _ERROR_FROM else None
        if form == "json":
            name = logging.getLevelName(level).lower()
            line = self._json(name, event="answer", status=status, ms=round(seconds * 1000, 2), trace=_trace(trace))
            _write(level, line)
        else:
            line = f"[{self.request_id}] {mark} {self.method} {self._shown} → {status} in {seconds:.2f}s"
            _write(level, line, trace)

    @property
    def _shown(self) -> str:
        return self.path if self.path.isprintable() else ascii(self.path)

    def _json(self, level: str, **more: object) -> str:
        told = {"time": round(time.time(), 3), "level": level, "id": self.request_id, "client": self.client}
        told |= {"method": self.method, "path": self.path, **more}
        return json.dumps({name: value for name, value in told.items() if value is not None})


def broken(form: Format, request_id: str, error: BaseException) -> None:
    """Write of a generation that a defect of ours ended; its request may have been answered long before."""
    raised = (type(error), error, error.__traceback__)
    if form == "json":
        told = {"time": round(time.time(), 3), "level": "error", "id": request_id, "event": "broken"}
        _write(logging.ERROR, json.dumps(told | {"trace": _trace(raised)}))
    else:
        _write(logging.ERROR, f"[{request_id}] ❌ a generation broke", raised)


def _write(level: int, line: str, raised: Raised | None = None) -> None:
    """As LOGGER.log, which would look for the line of code that calls it; our own handler needs no record at all."""
    if not LOGGER.isEnabledFor(level):
        return
    handlers = LOGGER.handlers
    if raised is None and not LOGGER.propagate and len(handlers) == 1 and isinstance(handlers[0], _Lines):
        handlers[0].put(level, line)
    else:
        LOGGER.handle(LOGGER.makeRecord(LOGGER.name, level, __file__, 0, line, (), raised))


def _level(status: int) -> tuple[int, str]:
    if status >= _ERROR_FROM:
        return logging.ERROR, "❌"
    return (logging.WARNING, "⚠️") if status >= _WARNING_FROM else (logging.INFO, "✅")


def _trace(raised: Raised | None) -> str | None:
    return _Plain().formatException(raised) if raised else None
