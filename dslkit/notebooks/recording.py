"""One execution of a notebook: check, record, run, record again."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from papermill.iorw import papermill_io
from papermill.log import logger

from dslkit.batch.runs import schedule_tags
from dslkit.ledger import Ledger
from dslkit.notebooks import document, injection, kernel, run_record
from dslkit.notebooks.client import TruthfulClient, TruthfulManager, text_of
from dslkit.notebooks.parameters import NotStartedError, read_parameters
from dslkit.notebooks.provenance import commit_of, sha256
from dslkit.records import Run
from dslkit.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from nbformat import NotebookNode

_OF_THE_MANAGER = ("output_path", "progress_bar", "log_output", "autosave_cell_every")
_TERMINATED = 128 + signal.SIGTERM
_INJECTED_TAG = "injected-parameters"


def execute(
    nb: NotebookNode,
    kernel_name: str,
    *,
    input_path: Any = None,
    ledger_home: Path | None = None,
    on_run: Callable[[Run], None] | None = None,
    check_parameters: bool = True,
    **options: Any,
) -> NotebookNode:
    """Execute the notebook in place, with a Run in the ledger from before the kernel starts.

    Raises:
        NotStartedError: no such kernel, unfit parameters, or no place to write the output: nothing was started.
        DeadKernelError, CellTimeoutError, KeyboardInterrupt: after they were recorded; a failed cell raises nothing
            here, papermill finds it in the notebook.
    """
    kernel.require(kernel_name)
    _check(nb, _name(input_path), types=check_parameters)
    home = (ledger_home or load_settings().home).absolute()
    run = _begin(nb, input_path)
    nb.metadata["dslkit"] = {"run_id": run.run_id}
    manager = _started(nb, options)
    with closing(Ledger(home).recorder()) as recorder, _stopped_by_sigterm():

        def record(state: Run) -> None:
            recorder.run(state)
            recorder.flush()
            if on_run is not None:
                on_run(state)

        record(run)
        error: BaseException | None = None
        try:
            _run_cells(manager, kernel_name, kernel.environment(run_id=run.run_id, home=home), options)
        except BaseException as raised:
            error = raised
            raise
        finally:
            outcome = run_record.outcome_of(nb, error)
            record(run_record.ended(run, nb, outcome, at=datetime.now(UTC), secrets=os.environ))
    return nb


def _started(nb: NotebookNode, options: Mapping[str, Any]) -> TruthfulManager:
    """The keeper of the output notebook, which lies on disk with every cell pending."""
    manager = TruthfulManager(nb, **{name: options[name] for name in _OF_THE_MANAGER if name in options})
    try:
        manager.notebook_start()
    except OSError as error:
        manager.cleanup_pbar()
        why = error.strerror or error
        raise NotStartedError(f"Cannot write the output notebook {manager.output_path}: {why}.") from error
    return manager


def _run_cells(manager: TruthfulManager, kernel_name: str, environment: Any, options: Mapping[str, Any]) -> None:
    client_options = {name: value for name, value in options.items() if name not in _OF_THE_MANAGER}
    timeout = client_options.pop("execution_timeout", None) or client_options.pop("timeout", None)
    startup = client_options.pop("start_timeout", 60)
    try:
        TruthfulClient(
            manager,
            kernel_name=kernel_name,
            timeout=timeout,
            startup_timeout=startup,
            log=logger,
            log_output=options.get("log_output", False),
            **client_options,
        ).run(environment)
    finally:
        manager.cleanup_pbar()
        manager.notebook_complete()


def _check(nb: NotebookNode, name: str, *, types: bool) -> None:
    """Fit the parameters that papermill has injected as they came; where that changes one, write their cell anew."""
    injected = nb.metadata.papermill.get("parameters") or {}
    given = _as_typed(injected)
    if not types or document.language_of(nb) != "python":
        injection.refuse_secrets(given, notebook=name, environment=os.environ)
        return
    parameters = read_parameters(nb)
    fitted = injection.fit_all(parameters, given, notebook=name, environment=os.environ)
    nb.metadata.papermill["parameters"] = injection.plain(fitted)
    if repr(fitted) == repr(dict(injected)):
        return
    for cell in nb.cells:
        if _INJECTED_TAG in cell.metadata.get("tags", ()):
            cell.source = injection.source(parameters, fitted)


def _as_typed(given: Mapping[str, Any]) -> dict[str, Any]:
    """The values as a person typed them on papermill's command line, which has made 7 of 007 and 1.0 of 1.0.0."""
    context = click.get_current_context(silent=True)
    if context is None or context.command.name != "papermill":
        return dict(given)
    return {**given, **dict(context.params["parameters"]), **dict(context.params["parameters_raw"])}


def _begin(nb: NotebookNode, input_path: Any) -> Run:
    local = Path(input_path) if isinstance(input_path, str) else Path()
    commit = commit_of(local.parent, Path.cwd())
    return Run(
        run_id=str(uuid.uuid4()),
        started_at=datetime.now(UTC),
        notebook=input_path if isinstance(input_path, str) else None,
        notebook_sha256=sha256(_text(nb, input_path)),
        parameters=nb.metadata.papermill["parameters"],
        commit=commit.sha,
        dirty=commit.dirty,
        tags=schedule_tags(os.environ),
    )


def _text(nb: NotebookNode, input_path: Any) -> str:
    """The notebook's text as it lies on disk; of one that came through a pipe, as it would be written."""
    if isinstance(input_path, str) and input_path != "-":
        text: str = papermill_io.read(input_path)
        return text
    return text_of(nb)


def _name(input_path: Any) -> str:
    return Path(input_path).name if isinstance(input_path, str) and input_path != "-" else "The notebook"


@contextmanager
def _stopped_by_sigterm() -> Iterator[None]:
    """Let a polite stop (systemd, Kubernetes, docker stop) end the run as Ctrl-C does: recorded, kernel gone."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
