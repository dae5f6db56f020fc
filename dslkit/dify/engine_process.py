"""One worker process of Dify's engine: started in an empty environment, asked by JSON lines, killed when it hangs."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

START_TIMEOUT_S: Final = 60.0
_ENTRY: Final = Path(__file__).parent / "engine_worker" / "__main__.py"
# Nothing of the user's; the one setting keeps glibc from reserving address space for every thread, which is limited.
_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "2"}
_CHUNK: Final = 1 << 16
_LONGEST_REPLY: Final = 64 << 20


class EngineStartError(RuntimeError):
    """The interpreter cannot serve: it is missing, has no graphon, or dies at once."""


class EngineGoneError(RuntimeError):
    """The process ended while it was asked; ``node`` is where it was, if it said."""

    def __init__(self, message: str, node: str | None = None) -> None:
        super().__init__(message)
        self.node = node


class EngineTimeoutError(EngineGoneError):
    """No answer in time: the process was killed."""


class EngineProcess:
    """A started worker, for one caller at a time.  ``version`` is graphon's; ``jobs`` counts what it did."""

    def __init__(self, python: Path, start_timeout_s: float = START_TIMEOUT_S) -> None:
        """Start and wait until it is ready; EngineStartError when it will never be."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
        self._buffer = b""
        self.jobs = 0
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- the interpreter the caller chose, and our own script
                [str(python), "-I", "-X", "utf8", str(_ENTRY)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise EngineStartError(f"cannot start {python}: {error.strerror or error}") from error
        self.version = self._greeting(python, start_timeout_s)

    @property
    def pid(self) -> int:
        """Process id, for tests and logs."""
        return self._process.pid

    def ask(self, job: Mapping[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send one job and wait for its reply; EngineTimeoutError (killed) or EngineGoneError (ended by itself)."""
        self.jobs += 1
        line = json.dumps({"id": self.jobs, **job}, default=str).encode() + b"\n"
        deadline, at = time.monotonic() + timeout_s, None
        try:
            self._send(line)
            while True:
                reply = self._receive(deadline)
                if reply.get("id") == self.jobs:
                    return reply
                at = reply.get("at", at)
        except TimeoutError:
            self.kill()
            raise EngineTimeoutError(f"no answer within {timeout_s:g} s", at or None) from None
        except (OSError, ValueError) as error:
            raise EngineGoneError(self._epitaph(error), at or None) from error

    def kill(self) -> None:
        """End it now; safe to call twice."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            _close_quietly(stream)

    def _greeting(self, python: Path, timeout_s: float) -> str:
        try:
            hello = self._receive(time.monotonic() + timeout_s)
        except (OSError, ValueError) as error:
            message = self._epitaph(error)
            raise EngineStartError(f"{python} cannot run Dify's engine: {message}") from error
        if not hello.get("hello"):
            self.kill()
            raise EngineStartError(f"{python} cannot load Dify's engine (graphon):\n{hello.get('error')}")
        return str(hello["hello"])

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def _receive(self, deadline: float) -> dict[str, Any]:
        """The next line; TimeoutError (an OSError) at the deadline, ValueError at the end of the stream."""
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError("no answer in time")
                piece = os.read(descriptor, _CHUNK)
                if not piece or len(self._buffer) > _LONGEST_REPLY:
                    raise ValueError("the worker closed its end")
                self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _epitaph(self, error: Exception) -> str:
        """Bury it and say how it ended."""
        self._wait_for_end()
        code = self._process.returncode
        cause = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        message = f"it ended with {cause}: {self._last_words() or error}"
        self.kill()
        return message

    def _wait_for_end(self, grace_s: float = 1.0) -> None:
        """Let a dying process finish dying, so that its own exit code is seen, then kill."""
        try:
            self._process.wait(grace_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self, limit: int = 400) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-limit:]


def _close_quietly(stream: Any) -> None:
    with contextlib.suppress(OSError):  # a pipe whose other end is gone cannot flush
        stream.close()
