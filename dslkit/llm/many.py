"""Many completions by the lean path: pulled lazily, sent as the gate lets them, handed out as they finish or in order.

The requests may be endless: only those in flight, and a few answers nobody has taken yet, are in memory.  Each answer
is the server's JSON as it came; the SDK's models are left out, which halves the work of a call.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dslkit.errors import BudgetError
from dslkit.llm.account import account_error
from dslkit.llm.lean import post

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

    from dslkit.errors import AccountError

Ask: TypeAlias = tuple[str | int, Mapping[str, Any]]
Asks: TypeAlias = Iterable[Ask] | AsyncIterable[Ask]
Progress: TypeAlias = Callable[[int, int], None]

DEFAULT_AT_ONCE = 64
_UNTAKEN = 4  # answers nobody has taken yet, for each request at once, before no more is asked
_IN_A_TURN = 16  # may begin in one turn of the loop: the first bytes leave before the last request is built
_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What came of one request: the decoded answer, or the error instead of it."""

    key: str | int
    answer: Mapping[str, Any] | None = None
    error: Exception | None = None
    from_checkpoint: bool = False

    @property
    def text(self) -> str:
        """The text of the first choice; raises the error if there is one."""
        if self.answer is None:
            raise self.error or ValueError("no answer")
        return str(self.answer["choices"][0]["message"]["content"] or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyOptions:
    """How to go through many requests.

    ``at_once`` bounds requests under way; the client's limits hold besides.  ``in_order`` hands answers out in the
    order of the requests.  ``checkpoint`` names a JSON-lines file: answers go there before they are handed out, and
    what is there already is not asked again.  ``on_progress`` is told how many are done and how many of these failed.
    """

    at_once: int = DEFAULT_AT_ONCE
    in_order: bool = False
    checkpoint: str | Path | None = None
    on_progress: Progress | None = None

    def __post_init__(self) -> None:
        if self.at_once < 1:
            raise ValueError(f"at_once must be at least 1, not {self.at_once}")


async def acomplete_many(
    asks: Asks, *, client: AsyncOpenAI, options: ManyOptions | None = None
) -> AsyncIterator[Completed]:
    """Complete (key, request) pairs, a request being the keyword arguments of ``chat.completions.create``.

    Errors are values, but for those that all that follows would meet too, which are raised once what was under way is
    handed out: AccountError (wrong key, unknown model, no credit) and BudgetError.
    """
    work = _Work(asks, client, options or ManyOptions())
    workers = [asyncio.ensure_future(work.run(turn // _IN_A_TURN)) for turn in range(work.options.at_once)]
    try:
        async for completed in work.results(len(workers)):
            yield completed
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        work.close()
    if work.stopped_by is not None:
        raise work.stopped_by


def complete_many(
    asks: Iterable[Ask], *, make_client: Callable[[], AsyncOpenAI], options: ManyOptions | None = None
) -> Iterator[Completed]:
    """The same for code that does not await, in a notebook too: the work goes on in a thread while answers are used."""
    channel = _Channel()
    thread = threading.Thread(target=channel.run, args=(asks, make_client, options), name="complete_many", daemon=True)
    thread.start()
    try:
        yield from channel.results()
    finally:
        channel.stop()
        thread.join()


class _Work:
    """Requests being pulled, and answers to hand out."""

    def __init__(self, asks: Asks, client: AsyncOpenAI, options: ManyOptions) -> None:
        self.options = options
        self.stopped_by: AccountError | BudgetError | None = None
        self._client = client
        self._asks = aiter(asks) if isinstance(asks, AsyncIterable) else _as_async(asks)
        self._pulling = asyncio.Lock()
        self._pulled = 0
        self._room = asyncio.Semaphore(options.at_once * (1 + _UNTAKEN))
        self._finished: asyncio.Queue[tuple[int, Completed] | BaseException | None] = asyncio.Queue()
        self._checkpoint = Checkpoint(Path(options.checkpoint)) if options.checkpoint is not None else None
        self._done = 0
        self._failed = 0

    async def run(self, turns: int) -> None:
        """One of those that ask, after so many turns of the loop; ends with the requests."""
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            while self.stopped_by is None:
                await self._room.acquire()
                async with self._pulling:
                    place, (key, request) = self._pulled, await anext(self._asks)
                    self._pulled += 1
                self._finished.put_nowait((place, await self._complete(key, request)))
        except StopAsyncIteration:
            self._finished.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - the iterable's own failure belongs to whoever passed it in
            self._finished.put_nowait(error)
        else:
            self._finished.put_nowait(None)

    async def results(self, workers: int) -> AsyncIterator[Completed]:
        """What is finished, until all who ask have ended."""
        waiting: dict[int, Completed] = {}
        following = 0
        while workers:
            entry = await self._finished.get()
            if entry is None:
                workers -= 1
                continue
            if isinstance(entry, BaseException):
                raise entry
            place, completed = entry
            if not self.options.in_order:
                yield self._hand_out(completed)
                continue
            waiting[place] = completed
            while following in waiting:
                yield self._hand_out(waiting.pop(following))
                following += 1

    def close(self) -> None:
        """Close the checkpoint."""
        if self._checkpoint is not None:
            self._checkpoint.close()

    def _hand_out(self, completed: Completed) -> Completed:
        self._room.release()
        self._done += 1
        self._failed += completed.error is not None
        if self.options.on_progress is not None:
            self.options.on_progress(self._done, self._failed)
        return completed

    async def _complete(self, key: str | int, request: Mapping[str, Any]) -> Completed:
        known = self._checkpoint.get(key) if self._checkpoint is not None else None
        if known is not None:
            return Completed(key=key, answer=known, from_checkpoint=True)
        try:
            answer = _decoded(await post(self._client, _PATH, request))
        except Exception as error:  # noqa: BLE001 - errors are values here
            stops = error if isinstance(error, BudgetError) else account_error(error)
            self.stopped_by = self.stopped_by or stops
            return Completed(key=key, error=error)
        if self._checkpoint is not None:
            self._checkpoint.put(key, answer)
        return Completed(key=key, answer=answer)


def _decoded(response: httpx2.Response) -> Mapping[str, Any]:
    answer = json.loads(response.content)
    if not isinstance(answer, dict):
        raise TypeError(f"The server answered with {type(answer).__name__}, not with a completion")
    return answer


async def _as_async(asks: Iterable[Ask]) -> AsyncIterator[Ask]:
    for ask in asks:
        yield ask


class Checkpoint:
    """Answers by key in a JSON-lines file, appended as they come; a torn last line is passed over."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._path = path
        self._known: dict[str, tuple[int, int]] = {}  # where in the file: answers stay out of memory
        self._read()

    def get(self, key: str | int) -> Mapping[str, Any] | None:
        """The answer kept for ``key``."""
        place = self._known.get(_name(key))
        if place is None:
            return None
        entry: dict[str, Any] = json.loads(os.pread(self._file, place[1], place[0]))
        answer: Mapping[str, Any] = entry["answer"]
        return answer

    def put(self, key: str | int, answer: Mapping[str, Any]) -> None:
        """Keep an answer: it survives this process when this returns."""
        os.write(self._file, json.dumps({"key": key, "answer": answer}, ensure_ascii=False).encode() + b"\n")

    def close(self) -> None:
        """Make everything durable and close."""
        os.fsync(self._file)
        os.close(self._file)

    def _read(self) -> None:
        at, line = 0, b"\n"
        with self._path.open("rb") as lines:
            for line in lines:
                try:
                    entry = json.loads(line)
                    self._known[_name(entry["key"])] = (at, len(line))
                except (ValueError, KeyError, TypeError):
                    pass
                at += len(line)
        if not line.endswith(b"\n"):
            os.write(self._file, b"\n")


def _name(key: str | int) -> str:
    return json.dumps(key)


@dataclass
class _End:
    """The thread has ended, perhaps by an error."""

    error: BaseException | None = None


@dataclass
class _Channel:
    """Between the thread that asks and the one that uses the answers."""

    _queue: queue.SimpleQueue[Completed | _End] = field(default_factory=queue.SimpleQueue)
    _started: threading.Event = field(default_factory=threading.Event)
    _loop: asyncio.AbstractEventLoop | None = None
    _task: asyncio.Task[None] | None = None
    _room: asyncio.Semaphore | None = None

    def run(self, asks: Iterable[Ask], make_client: Callable[[], AsyncOpenAI], options: ManyOptions | None) -> None:
        """The thread."""
        try:
            asyncio.run(self._produce(asks, make_client, options or ManyOptions()))
        except asyncio.CancelledError:
            self._queue.put(_End())
        except BaseException as error:  # noqa: BLE001 - raised where the answers are used
            self._queue.put(_End(error))
        else:
            self._queue.put(_End())
        finally:
            self._started.set()

    def results(self) -> Iterator[Completed]:
        """What the thread has finished."""
        while True:
            entry = self._queue.get()
            if isinstance(entry, _End):
                if entry.error is not None:
                    raise entry.error
                return
            if self._loop is not None and self._room is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._room.release)
            yield entry

    def stop(self) -> None:
        """Whoever used the answers wants no more."""
        self._started.wait()
        if self._loop is not None and self._task is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _produce(self, asks: Iterable[Ask], make_client: Callable[[], AsyncOpenAI], options: ManyOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._room = asyncio.Semaphore(options.at_once * _UNTAKEN)
        self._started.set()
        async with make_client() as client:
            async for completed in acomplete_many(asks, client=client, options=options):
                await self._room.acquire()
                self._queue.put(completed)
