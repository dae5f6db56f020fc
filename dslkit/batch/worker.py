"""A worker process of a batch: ``python -m dslkit.batch.worker FD``, where FD is its line to the batch.

It hears the job, then requirements, and answers with items.  When the batch is gone, however it ended, so is this.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from dslkit.batch.maker import STOPPING, Job, Maker

if TYPE_CHECKING:
    from dslkit.records import Requirement

ENGINES = 1  # of Dify's, in each worker


def main() -> None:
    """Work until the batch ends or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group: the batch decides what becomes of it
    line = Connection(int(sys.argv[1]))
    try:
        job = line.recv()
    except EOFError:
        return
    asyncio.run(_serve(line, job))


async def _serve(line: Connection, job: Job) -> None:
    inbox: asyncio.Queue[tuple[int, Requirement] | None] = asyncio.Queue()
    threading.Thread(target=_listen, args=(line, inbox, asyncio.get_running_loop()), daemon=True).start()
    tasks: set[asyncio.Task[None]] = set()
    async with Maker(job, engines=ENGINES) as maker:
        line.send(None)
        while (asked := await inbox.get()) is not None:
            task = asyncio.create_task(_answer(line, maker, *asked))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _listen(
    line: Connection, inbox: asyncio.Queue[tuple[int, Requirement] | None], loop: asyncio.AbstractEventLoop
) -> None:
    """Hand on what the batch says.  A thread, so that its death is heard however busy the loop is."""
    try:
        while True:
            loop.call_soon_threadsafe(inbox.put_nowait, line.recv())
    except (EOFError, OSError):
        os._exit(1)  # what was recorded is on disk; nobody is left to tell


async def _answer(line: Connection, maker: Maker, number: int, requirement: Requirement) -> None:
    try:
        line.send((number, await maker.make(requirement), None))
    except Exception as error:  # noqa: BLE001 - the batch decides what it means
        told = error if isinstance(error, STOPPING) else RuntimeError(f"{type(error).__name__}: {error}")
        line.send((number, None, told))


if __name__ == "__main__":
    main()
