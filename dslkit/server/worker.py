"""A process that generates: JSON lines come in on standard input, and what becomes of them goes out on the real
standard output.  It ends with its input; whatever is under way then is broken off, for nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from dslkit.batch.answers import ItemAnswers
from dslkit.batch.one import generate, root_cause
from dslkit.batch.recipe import Recipe
from dslkit.batch.requirements import from_text
from dslkit.batch.workshop import open_tools
from dslkit.dify.check import quality_score
from dslkit.dify.engine import Engine
from dslkit.errors import DslkitError
from dslkit.ledger.redact import redact
from dslkit.server.problems import DEFECT, status_of, went_wrong
from dslkit.server.reporting import crash
from dslkit.server.request_log import broken, set_up
from dslkit.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dslkit.batch.one import Generated
    from dslkit.batch.recipe import Tools
    from dslkit.records import Mode
    from dslkit.settings import Settings

NICENESS = 5  # so that the server answers while we compute
LINE_BYTES = 64 * 1024 * 1024
_DESCRIPTION = 300
STALE_S = 86_400.0
LOOK_S = 3_600.0


class RequestAnswers(ItemAnswers):
    """Answers of each request by itself: one that is done once more, under its id, pays for nothing twice.

    Equal requests of several clients know nothing of each other; none waits for another's answer.  What is answered of
    a request goes when it is done.  What failed, was cancelled or was killed may be sent again, for a day.
    """

    @contextmanager
    def kept_for(self, work: str, turn: int) -> Iterator[None]:  # noqa: ARG002 - what equal requests share
        """Keep answers for the request under way."""
        with super().kept_for(_request.get(), turn):
            yield

    def drop_stale(self, now: float) -> None:
        """Remove what requests left that have not been sent again for a day."""
        for left in self._folder_of_all.glob("*"):
            with contextlib.suppress(FileNotFoundError):  # another process is at it, too
                if now - left.stat().st_mtime > STALE_S:
                    self.forget(left.name)

    async def stay_fresh(self) -> None:
        """Look every now and then, for as long as the process lives."""
        while True:
            await asyncio.to_thread(self.drop_stale, time.time())
            await asyncio.sleep(LOOK_S)


_ASKED = "while the model was asked"  # then it is the model's server, and no defect of ours
_BAD_GATEWAY = 502
_request: ContextVar[str] = ContextVar("dslkit_request")


class Workshop:
    """The tools for each model and mode, opened once; Dify's engine for all."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self.settings = settings
        self.answers = RequestAnswers(settings.home / "answers" / "requests")
        self._stack = stack
        self._tools: dict[tuple[str, Mode], Tools] = {}
        self._opening = asyncio.Lock()
        self._engine: Engine | None = None
        self._looked = False

    async def tools(self, model: str, mode: Mode, *, engine: bool) -> Tools:
        """Tools for one job."""
        async with self._opening:
            if (model, mode) not in self._tools:
                opened = open_tools(Recipe(model=model, mode=mode), self.settings, None, self.answers)
                self._tools[model, mode] = await self._stack.enter_async_context(opened)
            if engine and not self._looked:
                self._looked = True
                self._engine = Engine.find(self.settings.engine_python)
                if self._engine is not None:
                    self._stack.callback(self._engine.close)
        return replace(self._tools[model, mode], engine=self._engine if engine else None)


async def produce(asked: Mapping[str, Any], shop: Workshop, tell: Callable[[str], None]) -> dict[str, Any]:
    """Generate what is asked for; the members of a ``GenerateAnswer``."""
    model, mode = asked["model"] or shop.settings.model, asked["mode"]
    tools = await shop.tools(model, mode, engine=asked["engine"])

    async def ask(stage: str, system: str, user: str) -> str:
        tell(stage)
        try:
            return await tools.ask(stage, system, user)
        except Exception as error:
            error.add_note(_ASKED)
            raise

    requirement = from_text(asked["description"], item_id=asked["name"])
    requirement = replace(requirement, tags={"request_id": asked["request_id"]})
    began = datetime.now(UTC)
    generated = await generate(
        requirement,
        model=model,
        mode=mode,
        app_mode=asked["app_mode"],
        complexity=asked["complexity"],
        max_rounds=asked["max_rounds"],
        settings=shop.settings,
        tools=replace(tools, ask=ask),
    )
    return _answer(generated, asked, began, model)


def _answer(generated: Generated, asked: Mapping[str, Any], began: datetime, model: str) -> dict[str, Any]:
    item, workflow = generated.item, generated.workflow
    document = workflow.document if workflow else {}
    graph = document.get("workflow", {}).get("graph", {})
    remedies = [finding.remedy or finding.message for finding in item.findings]
    return {
        "workflow": document,
        "yaml": workflow.yaml if workflow else "",
        "metadata": {
            "name": document.get("app", {}).get("name", item.item_id),
            "description": asked["description"][:_DESCRIPTION],
            "created_at": began.isoformat(),
            "version": "1.0.0",
            "tags": ["generated", asked["mode"].replace("_", "-")],
            "complexity": asked["complexity"],
            "node_count": len(graph.get("nodes", ())),
            "edge_count": len(graph.get("edges", ())),
            "iteration_count": item.rounds,
        },
        "verdict": item.verdict,
        "engine": item.engine,
        "findings": [asdict(finding) for finding in item.findings],
        "repairs": [asdict(repair) for repair in item.repairs],
        "suggestions": list(dict.fromkeys(remedies)),
        "quality_score": quality_score(document, item.findings, item.verdict),
        "generation_time": round((datetime.now(UTC) - began).total_seconds(), 3),
        "model": model,
        "run_id": item.run_id,
        "request_id": asked["request_id"],
    }


async def _job(message: Mapping[str, Any], shop: Workshop, tell: Callable[[Mapping[str, Any]], None]) -> None:
    tell({"event": "started"})
    _request.set(message["request_id"])  # the task is the job's own, and so is its context
    try:
        answer = await produce(message, shop, lambda stage: tell({"event": "stage", "stage": stage}))
    except asyncio.CancelledError:
        tell({"event": "cancelled"})
        return
    except Exception as error:  # noqa: BLE001 - whatever it was, the client is told and the others go on
        tell({"event": "failed", "problem": _problem(root_cause(error), message["request_id"], shop.settings)})
        return
    shop.answers.forget(message["request_id"])
    if answer["workflow"]:
        tell({"event": "done", "result": json.dumps(answer)})
    else:
        detail = "The model's answer holds no workflow. Say more precisely what it should do, or ask another model."
        problem = {"status": 502, "detail": detail, "findings": answer["findings"], "run_id": answer["run_id"]}
        tell({"event": "failed", "problem": problem})


def _problem(error: Exception, request_id: str, settings: Settings) -> dict[str, Any]:
    """What the client is told; of a defect of ours only where to look, for its words may be anybody's."""
    meant = isinstance(error, DslkitError)
    asking = _ASKED in getattr(error, "__notes__", ())
    status = _BAD_GATEWAY if asking and not meant else status_of(error)
    if status == DEFECT:
        broken(settings.log_format, request_id, error)
    asyncio.get_running_loop().run_in_executor(None, crash, settings, error, request_id)  # the answer waits for nobody
    return {"status": status, "detail": redact(str(error)) if meant or asking else went_wrong(request_id)}


async def work(incoming: int, outgoing: int) -> None:
    """Do what comes in on one file descriptor and tell of it on the other."""
    lines = asyncio.StreamReader(limit=LINE_BYTES)
    pipe = os.fdopen(incoming, "rb")
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), pipe)
    tasks: dict[str, asyncio.Task[None]] = {}

    def say(job_id: str, message: Mapping[str, Any]) -> None:
        if message["event"] in {"done", "failed", "cancelled"}:
            tasks.pop(job_id, None)
        with contextlib.suppress(BrokenPipeError):
            _write(outgoing, json.dumps({"id": job_id, **message}).encode() + b"\n")

    async with AsyncExitStack() as stack:
        settings = load_settings()
        set_up(settings.log_format)
        shop = Workshop(settings, stack)
        stack.callback(asyncio.create_task(shop.answers.stay_fresh()).cancel)
        while line := await lines.readline():
            message = json.loads(line)
            job_id = message["id"]
            if message["do"] == "generate":
                tasks[job_id] = asyncio.create_task(_job(message, shop, partial(say, job_id)))
            elif job_id in tasks:
                tasks[job_id].cancel()
        unfinished = list(tasks.values())
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


def _write(descriptor: int, text: bytes) -> None:
    """All of it: a pipe takes as much as it has room for."""
    left = memoryview(text)
    while left:
        left = left[os.write(descriptor, left) :]


def main() -> None:
    """Keep the real standard output for messages: what anything prints goes to standard error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    outgoing = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    asyncio.run(work(os.dup(sys.stdin.fileno()), outgoing))


if __name__ == "__main__":
    main()
