"""Output that nobody reads any more, as after ``| head``: the verb ends, and says nothing."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from collections.abc import Collection

UNREAD = 128 + signal.SIGPIPE  # what a shell says of a program that this signal ended; Python ignores the signal
_STANDARD = {1, 2}
_GONE = select.POLLERR | select.POLLHUP


class Verbs(TyperGroup):
    """The verbs, which leave with exit code 141 when the reader of their output has left."""

    def invoke(self, ctx: Any) -> Any:
        """Call the verb that was asked for."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if not (unread := _unread(_STANDARD)):
                raise RuntimeError("A process or server ended a connection.") from error  # typer would keep it quiet
            for descriptor in unread:
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)  # for what is flushed at exit
            raise typer.Exit(UNREAD) from None


def pause(seconds: float) -> None:
    """Wait between two pieces of output; BrokenPipeError as soon as the reader has left."""
    if _unread({1}, seconds):
        raise BrokenPipeError


def _unread(descriptors: Collection[int], wait_s: float = 0.0) -> list[int]:
    """Those whose reader is gone, after waiting for that."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, 0)
    return [descriptor for descriptor, events in poller.poll(wait_s * 1000) if events & _GONE]
