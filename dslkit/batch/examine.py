"""What a reply is worth: compiled, checked, repaired, and run on Dify's engine where there is one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.batch.artefact import write_whole
from dslkit.batch.editing import kept
from dslkit.dify.check import verdict
from dslkit.dify.judge import CODES, judge, judgement_findings
from dslkit.dify.plan import parse_plan
from dslkit.dify.workflow import Workflow
from dslkit.records import EngineRun, Judgement

if TYPE_CHECKING:
    from dslkit.batch.recipe import Order
    from dslkit.dify.engine import Engine
    from dslkit.records import Finding, Item, Requirement

NOT_RUN = EngineRun(status="not run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A reply and all that is known of the workflow in it."""

    reply: str
    workflow: Workflow
    engine: EngineRun

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What the check and the engine have to say; the engine's failure is an error finding."""
        return (*self.workflow.findings, *self.engine.findings)

    @property
    def error_count(self) -> int:
        """How many findings keep it from working."""
        return sum(finding.severity == "error" for finding in self.findings)


def examine(reply: str, order: Order, engine: Engine | None) -> Draft:
    """What is in a reply, and whether it runs; a workflow with error findings is not run."""
    workflow = _compiled(reply, order)
    run = NOT_RUN if engine is None or workflow.errors else engine.run(workflow.document)
    return Draft(reply=reply, workflow=workflow, engine=run)


def _compiled(reply: str, order: Order) -> Workflow:
    """The workflow of a reply; one that changes another keeps what the reply left unsaid."""
    if order.current is None:
        return Workflow.from_reply(reply, name=order.name, mode=order.recipe.app_mode)
    parsed = parse_plan(reply)
    if parsed.plan is None:
        return Workflow({}, parsed.findings, parsed.forgiven)
    workflow = Workflow.from_plan(kept(parsed.plan, order.current), name=order.name, mode=order.recipe.app_mode)
    return replace(
        workflow,
        findings=(*parsed.findings, *workflow.findings),
        repairs=(*parsed.forgiven, *workflow.repairs),
    )


def take_over(item: Item, order: Order) -> Item | None:
    """The item with a copy of its file at ``order.path``, under this order's name; None when that cannot be written.

    Raises DiskFullError when there is no room for it.
    """
    if order.path is None or item.artefact is None:
        return None
    try:
        document = Workflow.from_yaml(Path(item.artefact).read_bytes()).document
        document = {**document, "app": {**document["app"], "name": order.item_id}}
        digest = write_whole(order.path, Workflow(document, ()).yaml)
    except OSError:  # to be met again, and told, where the item is made
        return None
    return replace(item, artefact=str(order.path), artefact_sha256=digest)


def reconsider(item: Item, requirement: Requirement, order: Order, engine: Engine | None) -> Item | None:
    """An item of an earlier run held against today's expectations, and run where it never was.

    None when its file is no longer to be read, or when the engine does not run it: then there is work to do.
    """
    found = tuple(finding for finding in item.findings if finding.code not in CODES)
    if order.path is None or item.artefact is None:
        return replace(item, judgement=Judgement(), findings=found)
    document = Workflow.from_yaml(order.path.read_text(encoding="utf-8")).document
    run = engine.run(document) if engine and item.engine == "not run" and item.verdict == "clean" else NOT_RUN
    if run.status == "failed":
        return None
    if run.status != "not run":
        found = (*found, *run.findings)
        item = replace(item, engine=run.status, verdict=verdict(found, run))
    judged = judgement_findings(document, requirement)
    return replace(item, judgement=judge(document, requirement), findings=(*found, *judged))
