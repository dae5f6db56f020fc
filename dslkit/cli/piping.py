"""Output that nobody reads any more, as after ``| head``: the verb ends, and says nothing."""

from __future__ import annotations

import os
import select
import signal
import sys
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

    def main(self, *words: Any, **options: Any) -> Any:
        """Run the command line."""
        try:
            return super().main(*words, **options)
        except SystemExit as end:
            if isinstance(end.__context__, BrokenPipeError):  # help and version, for which typer and rich leave with 1
                sys.exit(UNREAD)
            raise

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


def open_missing() -> None:
    """Let a standard stream that is closed (``>&-``) lead nowhere; else the next file opened would take its place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= max(_STANDARD):
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


def output_error() -> OSError | None:
    """What keeps standard output from being written, if anything does; tried with an empty line."""
    try:
        typer.echo()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed at exit
        return error
    return None


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
