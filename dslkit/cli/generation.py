"""Verbs that make workflows: batch and generate."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from dslkit.cli.operations import executed_copy, with_folder
from dslkit.cli.telemetry import observed
from dslkit.cli.terminal import complain, put, say, write_output
from dslkit.cli.workflows import workflow_in
from dslkit.errors import DslkitError, SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dslkit.records import Requirement
    from dslkit.settings import Settings

NOTEBOOK = "generate_batch"
# What ends a batch with a message of its own: the name of the class adds nothing to it.
_STOPPING = {"AccountError", "BudgetError", "DiskFullError", "LedgerError"}
_INTERRUPTED = 130  # as a shell says of Ctrl-C


class ModeName(StrEnum):
    """How the agents work together."""

    simple = "simple"
    rag = "rag"
    multi_agent = "multi_agent"


class AppModeName(StrEnum):
    """The kind of Dify app."""

    workflow = "workflow"
    chatflow = "advanced-chat"


class ComplexityName(StrEnum):
    """How elaborate a workflow may be."""

    simple = "simple"
    moderate = "moderate"
    complex = "complex"


class RedoName(StrEnum):
    """What is made again although it is done."""

    none = "none"
    errors = "errors"
    all = "all"


Model = Annotated[str | None, typer.Option(help="Model to ask; 'offline' needs no key. Default: DSLKIT_MODEL.")]
ModeOption = Annotated[ModeName, typer.Option(help="One call, one with patterns to learn from, or four agents.")]
AppModeOption = Annotated[AppModeName, typer.Option(help="A workflow, or a chatflow (advanced-chat).")]
Elaborate = Annotated[
    ComplexityName | None, typer.Option("--complexity", help="How elaborate; the model judges when not given.")
]
Rounds = Annotated[int, typer.Option(min=0, max=10, help="How often the quality agent may better a workflow.")]
Budget = Annotated[float | None, typer.Option(min=0.0, help="Stop before the calls of this run cost more USD.")]
UseEngine = Annotated[bool, typer.Option("--engine/--no-engine", help="Run each workflow on Dify's engine.")]


def add_to(app: typer.Typer) -> None:
    """Register the verbs."""
    for verb in (batch, generate, edit):
        app.command()(verb)


def batch(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Requirements: JSONL, CSV, YAML, or text, one a line.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the workflows.")] = Path("out"),
    model: Model = None,
    mode: ModeOption = ModeName.simple,
    app_mode: AppModeOption = AppModeName.workflow,
    complexity: Elaborate = None,
    max_rounds: Rounds = 2,
    concurrency: Annotated[int, typer.Option(min=1, help="Items in the making at once.")] = 8,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that make them.")] = 1,
    budget_usd: Budget = None,
    engine: UseEngine = True,
    redo: Annotated[RedoName, typer.Option(help="Make again: items with errors, or all.")] = RedoName.none,
    notebook: Annotated[bool, typer.Option("--notebook/--no-notebook", help="Run it as a recorded notebook.")] = True,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Write the HTML report of the run.")] = True,
) -> None:
    """Make one workflow a requirement; what an earlier run finished is not paid again."""
    from dslkit.batch.requirements import load
    from dslkit.cli.items import tell_items
    from dslkit.ledger import Ledger

    settings = _ready(model)
    requirements = load(file)
    choices = {
        "model": settings.model,
        "mode": mode.value,
        "app_mode": app_mode.value,
        "complexity": complexity and complexity.value,
        "max_rounds": max_rounds,
        "concurrency": concurrency,
        "workers": workers,
        "budget_usd": budget_usd,
        "engine": engine,
        "redo": redo.value,
    }
    started = _through_notebook if notebook else _directly
    try:
        with observed(settings) as ended:
            run_id, problem = started(file, requirements, out, choices, settings)
            ended(run_id)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ctrl-C, and SIGTERM as the notebook's engine takes it
        say("Stopped. What was answered is kept: the same command goes on from here.")
        raise typer.Exit(int(stop.code or 1) if isinstance(stop, SystemExit) else _INTERRUPTED) from None
    order = (requirement.id for requirement in requirements)
    outcome = tell_items(Ledger(settings.home), run_id, order, problem=str(problem or ""))
    if report and outcome.items:
        put(f"report {_report(settings, run_id, outcome.origins)}")
    if problem:
        left = len(requirements) - outcome.items
        complain(DslkitError(f"{problem}\nLeft undone: {left} of {len(requirements)}.") if left else problem)
    raise typer.Exit(int(bool(problem) or outcome.unfinished > 0))


def generate(
    *,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What the workflow should do.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write; standard output else.")] = None,
    model: Model = None,
    mode: ModeOption = ModeName.simple,
    app_mode: AppModeOption = AppModeName.workflow,
    complexity: Elaborate = None,
    max_rounds: Rounds = 2,
    budget_usd: Budget = None,
    engine: UseEngine = True,
) -> None:
    """Make one workflow from plain words; exit code 1 when it has errors."""
    from dslkit.batch.requirements import from_text

    _make(
        from_text(text, item_id=output.stem if output else None),
        output,
        model,
        mode=mode.value,
        app_mode=app_mode.value,
        complexity=complexity and complexity.value,
        max_rounds=max_rounds,
        budget_usd=budget_usd,
        engine=engine,
    )


def edit(
    *,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Dify DSL file; - is standard input.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What should be different.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write; standard output else.")] = None,
    model: Model = None,
    mode: ModeOption = ModeName.simple,
    max_rounds: Rounds = 2,
    budget_usd: Budget = None,
    engine: UseEngine = True,
) -> None:
    """Change a workflow as plain words say; the file stays as it is unless -o names it.  Exit code 1 on errors."""
    from dslkit.batch.requirements import from_text

    _make(
        from_text(text),
        output,
        model,
        current=workflow_in(file),
        mode=mode.value,
        max_rounds=max_rounds,
        budget_usd=budget_usd,
        engine=engine,
    )


def _make(requirement: Requirement, output: Path | None, model: str | None, **choices: Any) -> NoReturn:
    """Generate, tell how it went, and leave with the exit code.  Nothing is printed or replaced by what has errors."""
    from dslkit.batch.artefact import is_disk_full
    from dslkit.batch.one import generate as make
    from dslkit.ledger import Ledger

    settings = _ready(model)
    out = None if "current" in choices else output
    try:
        generated = asyncio.run(make(requirement, model=settings.model, out=out, settings=settings, **choices))
    except Exception as error:
        if isinstance(error, DslkitError) or is_disk_full(error):
            raise
        raise DslkitError(f"{type(error).__name__}: {error}") from error  # in a batch it would be a failed item
    item = generated.item
    for finding in item.findings:
        say(f"{finding.severity} {finding.code}: {finding.message}")
    if out is None and generated.workflow is not None and item.verdict != "errors":
        write_output(generated.workflow.yaml, output)
    cost = Ledger(settings.home).usage(run=item.run_id)
    say(f"{item.verdict}, engine {item.engine}; {cost.total_tokens:,} tokens, {cost.cost}")
    raise typer.Exit(int(item.verdict in {"errors", "failed"}))


def _ready(model: str | None) -> Settings:
    """Settings with the model chosen; SettingsError when a real model has no key."""
    from dslkit.settings import OFFLINE_MODEL, load_settings

    settings = load_settings()
    if model:
        settings = settings.model_copy(update={"model": model})
    if settings.model != OFFLINE_MODEL and settings.openai_api_key is None:
        raise SettingsError(
            f"The model {settings.model!r} needs a key: set OPENAI_API_KEY in the environment or in .env, "
            f"or try without one: --model {OFFLINE_MODEL}."
        )
    return settings


def _directly(
    _file: Path, requirements: Sequence[Requirement], out: Path, choices: dict[str, Any], settings: Settings
) -> tuple[str, DslkitError | None]:
    """In this process: the id of the run, and what stopped it before its end."""
    from dslkit.batch.many import generate_batch
    from dslkit.cli.items import own_run
    from dslkit.cli.progress import Bar
    from dslkit.ledger import Ledger

    problem: DslkitError | None = None
    with Bar(len(requirements)) as bar:
        try:
            asyncio.run(generate_batch(requirements, out=out, settings=settings, progress=bar.count, **choices))
        except UsageError:
            raise
        except DslkitError as error:
            problem = error
    return own_run(Ledger(settings.home)), problem


def _through_notebook(
    file: Path, requirements: Sequence[Requirement], out: Path, choices: dict[str, Any], settings: Settings
) -> tuple[str, DslkitError | None]:
    """In the kernel of a recorded notebook, watched through the ledger."""
    from dslkit import notebooks
    from dslkit.cli.progress import Bar, watching
    from dslkit.ledger import Ledger

    copy = with_folder(executed_copy(settings, NOTEBOOK))
    with Bar(len(requirements)) as bar, watching(Ledger(settings.home), bar):
        run = notebooks.run(NOTEBOOK, copy, {"requirements": str(file), "out": str(out), **choices})
    if run.error_type in {UsageError.__name__, SettingsError.__name__}:
        raise UsageError(str(run.error_message))
    say(f"notebook {copy}")
    if run.status == "completed":
        return run.run_id, None
    ours = run.error_type in _STOPPING
    return run.run_id, DslkitError(str(run.error_message) if ours else f"{run.error_type}: {run.error_message}")


def _report(settings: Settings, run_id: str, origins: Sequence[str | None]) -> Path:
    """The report of the run; where another run did all of it before, that one's: this one has nothing to say."""
    first, *others = origins
    if first and not others and _report_of(settings, first).is_file():
        return _report_of(settings, first)
    from dslkit.report import write

    return write(settings.home, _report_of(settings, run_id), run=run_id)


def _report_of(settings: Settings, run_id: str) -> Path:
    return settings.reports / f"{run_id}.html"  # where the service shows it
