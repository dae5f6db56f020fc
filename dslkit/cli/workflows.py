"""Verbs about workflow files: check, compile, convert, draw, diff."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dslkit.cli.terminal import put, put_json, say, write_output
from dslkit.errors import UsageError

if TYPE_CHECKING:
    from dslkit.dify.engine import Engine
    from dslkit.dify.workflow import Workflow
    from dslkit.records import Finding, Requirement

STDIN = "-"
_FINDING = ("code", "severity", "node", "path", "message", "remedy")
_REPAIR = ("code", "node", "message")

Output = Annotated[Path | None, typer.Option("-o", "--output", help="File to write; standard output when not given.")]
Version = Annotated[str | None, typer.Option("--dsl-version", metavar="V", help="Version to write, 0.3.0 to 0.6.0.")]


class Form(StrEnum):
    """What ``convert`` makes."""

    plan = "plan"
    yaml = "yaml"


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (check, compile_plan, convert, draw, diff):
        app.command(name="compile" if verb is compile_plan else None)(verb)


def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Dify DSL files; - is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document for programs.")] = False,
    engine: Annotated[bool, typer.Option("--engine", help="Run each on Dify's own engine, too.")] = False,
    requirements: Annotated[
        Path | None, typer.Option(help="Hold each file against the requirement that has its name as id.")
    ] = None,
) -> None:
    """Check Dify workflows; exit code 1 when one has errors."""
    asked = _asked(requirements) if requirements else None
    runner = _engine() if engine else None
    with ThreadPoolExecutor(_cores() if runner else 1) as pool:  # threads wait for the engine's processes
        reports = list(pool.map(partial(_report, engine=runner, asked=asked), files))
    if as_json:
        put_json({"files": reports})
    else:
        for report in reports:
            _tell(report)
    raise typer.Exit(int(any(report["verdict"] == "errors" for report in reports)))


def compile_plan(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A model's reply or plan JSON; - is standard input.")],
    output: Output = None,
    name: Annotated[str | None, typer.Option(help="Name of the app; the file's name when not given.")] = None,
    dsl_version: Version = None,
) -> None:
    """Compile a compact plan into Dify DSL; exit code 1, and nothing written, when it has errors."""
    from dslkit.dify.compile import DEFAULT_DSL_VERSION
    from dslkit.dify.workflow import Workflow

    version = _version(dsl_version) or DEFAULT_DSL_VERSION
    workflow = Workflow.from_reply(_read_text(plan), name=name or _title(plan), dsl_version=version)
    _tell_findings(workflow.findings)
    for repair in workflow.repairs:
        say(f"repaired {repair.code}: {repair.message}")
    if workflow.errors:
        raise typer.Exit(1)
    write_output(workflow.yaml, output)


def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Dify DSL file; - is standard input.")],
    to: Annotated[Form, typer.Option("--to", help="The compact plan, or Dify YAML in our layout.")],
    output: Output = None,
    dsl_version: Version = None,
) -> None:
    """Convert a Dify DSL file into the compact plan, or into tidy Dify YAML."""
    from dslkit.dify.yaml_text import write_yaml

    version = _version(dsl_version)
    workflow = workflow_in(file)
    if to is Form.yaml:
        write_output(write_yaml(workflow.document | ({"version": version} if version else {})), output)
        return
    if version:
        say("A plan has no DSL version: give --dsl-version to dslkit compile.")
    try:
        plan = workflow.plan()
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from None
    write_output(plan.model_dump_json(indent=2) + "\n", output)


def draw(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Dify DSL file; - is standard input.")],
    output: Output = None,
) -> None:
    """Draw a workflow as SVG."""
    from dslkit.dify.draw import draw as to_svg

    write_output(to_svg(workflow_in(file).document), output)


def diff(
    old: Annotated[str, typer.Argument(metavar="A", help="A Dify DSL file.")],
    new: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
) -> None:
    """Say what changed from one workflow to another."""
    from dslkit.dify.diff import diff as compare
    from dslkit.dify.diff import render

    put(render(compare(workflow_in(old).document, workflow_in(new).document)).rstrip())


def _read(name: str) -> bytes:
    """What is in a file or comes from standard input; what it is worth is for the room that reads it to say."""
    try:
        return sys.stdin.buffer.read() if name == STDIN else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: cannot be read ({error.strerror}).") from None


def _read_text(name: str) -> str:
    try:
        return _read(name).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{name}: not UTF-8 text. Give a file that was saved as UTF-8.") from None


def _title(name: str) -> str:
    return "workflow" if name == STDIN else Path(name).stem


def workflow_in(name: str) -> Workflow:
    """A workflow to work with, whatever its findings: UsageError when the file holds neither a Dify app nor a graph."""
    from dslkit.dify.check.document import CONFIG_MODES, GRAPH_MODES
    from dslkit.dify.graph import Graph
    from dslkit.dify.workflow import Workflow

    workflow = Workflow.from_yaml(_read(name))
    graph = Graph(workflow.document)
    if not graph.nodes and graph.mode not in GRAPH_MODES | CONFIG_MODES:
        reason = workflow.errors[0].message if workflow.errors else "it holds no document."
        raise UsageError(
            f"{name}: not a Dify workflow: {reason} Give a Dify export; of a plan, dslkit compile makes one."
        )
    return workflow


def _version(written: str | None) -> str | None:
    """A version that can be written; UsageError names those that can."""
    from dslkit.dify.compile import DSL_VERSIONS

    if written is not None and written not in DSL_VERSIONS:
        raise UsageError(f"--dsl-version {written}: give one of {', '.join(DSL_VERSIONS)}.")
    return written


def _asked(path: Path) -> dict[str, Requirement]:
    from dslkit.batch.requirements import load

    return {requirement.id: requirement for requirement in load(path)}


def _cores() -> int:
    return os.cpu_count() or 1


def _engine() -> Engine:
    from dslkit.dify.engine import Engine
    from dslkit.settings import load_settings

    engine = Engine.find(load_settings().engine_python, workers=_cores())
    if engine is None:
        raise UsageError("Dify's engine is not installed. Run: dslkit engine install")
    return engine


def _report(name: str, engine: Engine | None, asked: dict[str, Requirement] | None) -> dict[str, Any]:
    """One file in the form of ``check --json``."""
    from dslkit.dify.check import verdict
    from dslkit.dify.workflow import Workflow
    from dslkit.records import EngineRun

    workflow = Workflow.from_yaml(_read(name))
    run = EngineRun(status="not run") if engine is None or workflow.errors else engine.run(workflow.document)
    findings = (*workflow.findings, *run.findings)
    if asked is not None:
        findings += _held_against(workflow, asked.get(_title(name)), _title(name))
    return {
        "file": name,
        "verdict": verdict(findings, run),
        "engine": run.status,
        "findings": [_as_json(finding, _FINDING) for finding in findings],
        "repairs": [_as_json(repair, _REPAIR) for repair in workflow.repairs],
    }


def _held_against(workflow: Workflow, requirement: Requirement | None, name: str) -> tuple[Finding, ...]:
    from dslkit.dify.judge import judgement_findings
    from dslkit.records import Finding

    if requirement is None:
        message = f"No requirement has the id {name}, so its inputs and outputs are not compared."
        return (Finding(code="requirement-missing", severity="note", message=message),)
    return judgement_findings(workflow.document, requirement)


def _as_json(record: Any, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _tell(report: dict[str, Any]) -> None:
    put(f"{report['file']}: {report['verdict']}, engine {report['engine']}")
    for finding in report["findings"]:
        put(f"  {_finding_line(finding)}")


def _tell_findings(findings: tuple[Finding, ...]) -> None:
    for finding in findings:
        say(_finding_line(_as_json(finding, _FINDING)))


def _finding_line(finding: dict[str, Any]) -> str:
    where = f" at node {finding['node']}" if finding["node"] else ""
    remedy = f" → {finding['remedy']}" if finding["remedy"] else ""
    return f"{finding['severity']} {finding['code']}{where}: {finding['message']}{remedy}"
