"""One requirement, end to end: asked, compiled, checked, repaired, run on Dify's engine, improved, judged, written."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslkit.agents import analyse, configure, improve, outline
from dslkit.batch.answers import ItemAnswers
from dslkit.batch.artefact import write_whole
from dslkit.batch.editing import app_mode_of, as_shown, plan_to_change
from dslkit.batch.examine import Draft, examine
from dslkit.batch.recipe import MAX_ROUNDS, Order, Recipe, Tools
from dslkit.batch.requirements import from_text
from dslkit.batch.resume import key_of, patterns_of
from dslkit.batch.runs import recorded_run, with_budget
from dslkit.batch.workshop import open_tools
from dslkit.dify.check import verdict
from dslkit.dify.engine import Engine
from dslkit.dify.judge import judge, judgement_findings
from dslkit.errors import AccountError, DslkitError
from dslkit.ledger import Ledger
from dslkit.ledger.redact import redact
from dslkit.llm import account_error, attributed
from dslkit.records import Item, Judgement, Requirement
from dslkit.settings import OFFLINE_MODEL, load_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from dslkit.dify.workflow import Workflow
    from dslkit.knowledge import Knowledge, Pattern
    from dslkit.records import AppMode, Complexity, Mode
    from dslkit.settings import Settings

PATTERNS_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A workflow and the record of how it came about; ``workflow`` is None when the work failed."""

    item: Item
    workflow: Workflow | None = None
    error: BaseException | None = field(default=None, compare=False)


async def generate(  # noqa: PLR0913 - as for a batch
    requirement: Requirement | str,
    *,
    model: str = OFFLINE_MODEL,
    mode: Mode = "simple",
    app_mode: AppMode = "workflow",
    complexity: Complexity | None = None,
    current: Workflow | None = None,
    out: str | Path | None = None,
    max_rounds: int = MAX_ROUNDS,
    budget_usd: Decimal | float | None = None,
    engine: bool = True,
    settings: Settings | None = None,
    tools: Tools | None = None,
) -> Generated:
    """Make one workflow, at interactive priority, recorded as a run of its own (or the notebook's).

    Args:
        requirement: what the workflow should do, in plain words.
        model: name of the model, ``offline`` for the one that needs no network.
        mode: ``simple`` (one call), ``rag`` (shown the nearest patterns), ``multi_agent`` (three agents).
            In every mode a fourth, the quality agent, betters what has errors.
        app_mode: ``workflow``, or ``advanced-chat`` for a chatflow.
        complexity: how elaborate it may be; the model judges when None.
        current: a workflow that the requirement changes; it keeps its name and its kind of app.
        out: file to write the Dify YAML to; None writes none.
        max_rounds: how often the quality agent may better a workflow that has error findings.
        budget_usd: no call that would exceed it is sent; the setting counts when None.
        engine: run the workflow on Dify's engine, where that is installed.
        settings: environment and ``.env`` by default.
        tools: opened for this model and mode by who makes many; None opens them for this one alone.

    Raises:
        AccountError, BudgetError, DiskFullError, LedgerError: as for a batch.
        Exception: whatever else kept the workflow from being made; it is in the ledger as a failed item.
    """
    settings = with_budget(settings or load_settings(), budget_usd)
    requirement = from_text(requirement) if isinstance(requirement, str) else requirement
    before = plan_to_change(current) if current else None
    kind = app_mode_of(before) if before else app_mode
    recipe = Recipe(model=model, mode=mode, max_rounds=max_rounds, app_mode=kind, complexity=complexity)
    recorder = Ledger(settings.home).recorder()
    with recorded_run(recorder, {"requirement": requirement.id, **asdict(recipe)}) as run_id:
        order = Order(
            run_id=run_id,
            item_id=requirement.id,
            key=key_of(
                requirement, recipe, patterns_of(recipe, settings.home), before.model_dump_json() if before else None
            ),
            recipe=recipe,
            path=Path(out) if out else None,
            priority="interactive",
            current=before,
        )
        if tools is None:
            generated = await _made_alone(requirement, order, settings, use_engine=engine)
        else:
            generated = await make(requirement, order, tools)
        recorder.item(generated.item)
        if generated.error is not None:
            raise generated.error
    recorder.flush()
    ItemAnswers.below(settings.home).forget(order.work)
    return generated


async def _made_alone(requirement: Requirement, order: Order, settings: Settings, *, use_engine: bool) -> Generated:
    """Made with tools of its own, closed afterwards."""
    runner = Engine.find(settings.engine_python) if use_engine else None
    try:
        async with open_tools(order.recipe, settings, runner, ItemAnswers.below(settings.home)) as tools:
            return await make(requirement, order, tools)
    finally:
        if runner is not None:
            runner.close()


def _unrecorded(_item: Item) -> None:
    """Whoever asked records it."""


async def make(
    requirement: Requirement, order: Order, tools: Tools, *, record: Callable[[Item], object] = _unrecorded
) -> Generated:
    """Make one workflow, write it to ``order.path`` and record its item, both in a thread.

    An exception becomes a ``failed`` item that carries it, and is not recorded.  Cancellation passes through: then
    nothing is recorded and nothing written.
    """
    started_at = datetime.now(UTC)
    whose = attributed(run_id=order.run_id, item_id=order.item_id, tags=requirement.tags, priority=order.priority)
    with whose:
        try:
            draft, rounds = await _author(requirement, order, tools)
            item = replace(_item(requirement, order, started_at, draft), rounds=rounds)
            item = await asyncio.to_thread(_keep, item, draft.workflow, order.path, record)
        except Exception as error:  # noqa: BLE001 - whatever it was, the other items of the batch go on
            reason = root_cause(error)
            return Generated(item=failed(requirement, order, started_at, reason), error=reason)
    return Generated(item=item, workflow=draft.workflow)


async def _author(requirement: Requirement, order: Order, tools: Tools) -> tuple[Draft, int]:
    """The best draft that the agents of a mode reach, and how many rounds of bettering that took.

    Drafts are examined in threads: the loop stays free for the answers of other items.
    """
    with tools.answers.kept_for(order.work, 0):
        reply = await _first_reply(requirement, order, tools)
    best = current = await _examined(reply, order, tools)
    rounds = 0
    while best.error_count and rounds < order.recipe.max_rounds:
        rounds += 1
        with tools.answers.kept_for(order.work, rounds):
            reply = await _bettered(requirement, current, order, tools)
        current = await _examined(reply, order, tools)
        if current.error_count <= best.error_count:
            best = current
    return best, rounds


async def _examined(reply: str, order: Order, tools: Tools) -> Draft:
    if tools.engine is None:
        return examine(reply, order, None)
    return await asyncio.to_thread(examine, reply, order, tools.engine)


async def _first_reply(requirement: Requirement, order: Order, tools: Tools) -> str:
    messages, recipe = requirement.messages, order.recipe
    asked = partial(
        configure,
        tools.ask,
        messages,
        app_mode=recipe.app_mode,
        complexity=recipe.complexity,
        current_plan=as_shown(order.current) if order.current else None,
    )
    if recipe.mode == "simple":
        return await asked()
    patterns = await _similar(messages, tools.knowledge)
    if recipe.mode == "rag":
        return await asked(patterns=patterns)
    brief = await analyse(tools.ask, messages)
    drawn = await outline(tools.ask, brief, patterns)
    return await asked(patterns=patterns, brief=brief, outline=drawn)


async def _bettered(requirement: Requirement, draft: Draft, order: Order, tools: Tools) -> str:
    mode = order.recipe.app_mode
    return await improve(tools.ask, requirement.messages, draft.reply, draft.findings, app_mode=mode)


async def _similar(messages: tuple[str, ...], knowledge: Knowledge | None) -> tuple[Pattern, ...]:
    if knowledge is None:
        return ()
    matches = await asyncio.to_thread(knowledge.search, "\n".join(messages), PATTERNS_SHOWN)
    return tuple(match.pattern for match in matches)


def _keep(item: Item, workflow: Workflow, path: Path | None, record: Callable[[Item], object]) -> Item:
    """The item as it stands once its file does."""
    item = replace(item, **_write(workflow, path), ended_at=datetime.now(UTC))
    record(item)
    return item


def _write(workflow: Workflow, path: Path | None) -> dict[str, Any]:
    """Write what there is; a reply without a workflow gives no file.  Without a path the hash alone is kept."""
    if not workflow.document:
        return {}
    if path is None:
        return {"artefact_sha256": hashlib.sha256(workflow.yaml.encode()).hexdigest()}
    return {"artefact": str(path), "artefact_sha256": write_whole(path, workflow.yaml)}


def _item(requirement: Requirement, order: Order, started_at: datetime, draft: Draft) -> Item:
    workflow = draft.workflow
    # What was asked for and not held is told of the finished item: no agent or repair is to work towards it.
    judged = judgement_findings(workflow.document, requirement) if workflow.document else ()
    return Item(
        **_identity(requirement, order, started_at),
        verdict=verdict(draft.findings, draft.engine),
        engine=draft.engine.status,
        findings=(*draft.findings, *judged),
        repairs=workflow.repairs,
        judgement=judge(workflow.document, requirement) if workflow.document else Judgement(),
    )


def failed(requirement: Requirement, order: Order, started_at: datetime, error: Exception) -> Item:
    """The item of a piece of work that an exception ended."""
    return Item(
        **_identity(requirement, order, started_at),
        verdict="failed",
        engine="not run",
        error_type=type(error).__name__,
        error_message=str(error),
    )


def _identity(requirement: Requirement, order: Order, started_at: datetime) -> dict[str, Any]:
    return {
        "run_id": order.run_id,
        "item_id": requirement.id,
        "key": order.key,
        "model": order.recipe.model,
        "mode": order.recipe.mode,
        "started_at": started_at,
        "ended_at": datetime.now(UTC),
        "tags": requirement.tags,
    }


def root_cause(error: Exception) -> Exception:
    """What a caller can act on: the openai SDK wraps whatever its transport raises into a connection error.

    A server that refuses a key may repeat it: what it said is shown, and kept in executed notebooks, without.
    """
    account = account_error(error)
    if account is not None:
        return AccountError(redact(str(account)), http_status=account.http_status, code=account.code)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DslkitError):
            return cause
        cause = cause.__cause__
    return error
