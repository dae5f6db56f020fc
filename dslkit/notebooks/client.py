"""papermill's client and its book-keeping of the output notebook, made truthful: also when the kernel dies."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io

from dslkit.notebooks.kernel import OwnKernelManager, sockets

if TYPE_CHECKING:
    from collections.abc import Mapping

ENDINGS = (DeadKernelError, CellTimeoutError, KeyboardInterrupt, SystemExit)
# Characters kept of what one cell prints, and of each form of a result; more, and no browser opens the notebook.
PRINTED_MOST = 10_000_000
_RESULTS = {"execute_result", "display_data", "update_display_data"}
_IOPUB_PATIENCE_S = 60  # a cell that printed 100 MB needs more than nbclient's 4 s to hand it over


class TruthfulClient(PapermillNotebookClient):  # type: ignore[misc]  # papermill ships no types
    """Runs the cells; one that a dead kernel, a timeout or Ctrl-C ends is failed, and its output says why."""

    def __init__(self, manager: NotebookExecutionManager, **options: Any) -> None:
        super().__init__(manager, **{"iopub_timeout": _IOPUB_PATIENCE_S, **options})
        self._printed: Counter[int] = Counter()

    def run(self, environment: Mapping[str, str]) -> None:
        """Run all cells in a kernel with this environment."""
        with sockets() as options:
            self.km = OwnKernelManager(kernel_name=self.kernel_name, **options)
            self.owns_km = True  # nbclient takes a manager that exists for someone else's, to be left running
            try:
                # What is written past Python comes as messages, too; its echo would stand among our own words.
                self.execute(env=dict(environment), stdout=subprocess.DEVNULL)
            except DeadKernelError:
                raise
            except RuntimeError as error:  # jupyter_client's, when no kernel comes up
                raise DeadKernelError(_first_line(error)) from error

    def execute_cell(self, cell: NotebookNode, cell_index: int, *arguments: Any, **options: Any) -> NotebookNode:
        """Run one cell."""
        self.km.idle = False
        try:
            done: NotebookNode = super().execute_cell(cell, cell_index, *arguments, **options)
        except ENDINGS as error:
            message = f"{_first_line(error)}{self._cause_of_death()}"
            shown = {"ename": type(error).__name__, "evalue": message, "traceback": [message]}
            output = NotebookNode(output_type="error", **shown)  # type: ignore[no-untyped-call]  # as text_of
            cell.outputs.append(output)
            self.nb_man.cell_exception(cell, cell_index=cell_index, exception=error)
            error.args = (message, *error.args[1:]) if isinstance(error, DeadKernelError) else error.args
            raise
        finally:
            self.km.idle = not isinstance(sys.exception(), ENDINGS)
        return done

    def process_message(self, msg: dict[str, Any], cell: NotebookNode, cell_index: int) -> NotebookNode | None:
        """Take in a message of the kernel; of what a cell prints or shows only the first PRINTED_MOST characters."""
        if msg["msg_type"] == "stream" and not self._clip(msg["content"], cell_index):
            return None
        if msg["msg_type"] in _RESULTS:
            _clip_result(msg["content"]["data"])
        output: NotebookNode | None = super().process_message(msg, cell, cell_index)
        return output

    def _clip(self, content: dict[str, str], cell_index: int) -> bool:
        """Shorten what was printed to what there is room for; whether anything of it is to be kept."""
        before = self._printed[cell_index]
        self._printed[cell_index] += len(content["text"])
        if before > PRINTED_MOST:
            return False
        if self._printed[cell_index] > PRINTED_MOST:
            notice = f"\n[dslkit: this cell printed more than {PRINTED_MOST:,} characters; the rest was left out]\n"
            content["text"] = content["text"][: PRINTED_MOST - before] + notice
        return True

    def _cause_of_death(self) -> str:
        """How the kernel's process ended, where it did."""
        process = getattr(getattr(self.km, "provisioner", None), "process", None)
        code = process.poll() if process is not None else None
        if code is None:
            return ""
        if code >= 0:
            return f": it left with exit code {code}"
        name = signal.Signals(-code).name
        return f": killed by {name}" + (", as the system does when memory runs out" if name == "SIGKILL" else "")


class TruthfulManager(NotebookExecutionManager):  # type: ignore[misc]  # papermill ships no types
    """Keeps the output notebook: always whole on disk, and a cell that never ran stays pending."""

    def save(self, **changes: Any) -> None:
        """Save the notebook as it stands; a local file is replaced in one step."""
        self.nb: NotebookNode = changes.get("nb") or self.nb
        target = _local_path(self.output_path) if self.output_path else None
        if target is None:
            super().save()
        else:
            _replace(target, text_of(self.nb))
            self.last_save_time = self.now()

    def notebook_complete(self, **_changes: Any) -> None:
        """Note the end and save.  papermill's own calls every pending cell completed, also when no kernel came up."""
        self.end_time = self.now()
        self.nb.metadata.papermill["end_time"] = self.end_time.isoformat()
        self.nb.metadata.papermill["duration"] = (self.end_time - self.start_time).total_seconds()
        self.complete_pbar()
        self.cleanup_pbar()
        self.save()


def _clip_result(data: dict[str, Any]) -> None:
    """Shorten a result's text; a picture or page that is too long is left out, since a part of it is worth nothing."""
    for kind, whole in list(data.items()):
        if isinstance(whole, str) and len(whole) > PRINTED_MOST:
            del data[kind]
            kept = whole[:PRINTED_MOST] if kind == "text/plain" else data.get("text/plain", "")
            data["text/plain"] = f"{kept}\n[dslkit: {kind} of {len(whole):,} characters; the rest was left out]\n"


def text_of(nb: NotebookNode) -> str:
    """The notebook as papermill writes it."""
    text: str = nbformat.writes(nb)  # type: ignore[no-untyped-call]  # nbformat is typed in parts
    return text


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "stopped from outside")


def _local_path(path: str) -> Path | None:
    """Where papermill would write the file, if that is a plain local file."""
    handler = papermill_io.get_handler(path)
    if not isinstance(handler, LocalHandler):
        return None
    folder = handler.cwd(None)  # papermill takes paths from where it was started, not from the run's cwd
    handler.cwd(folder)
    target = Path(folder or ".", path).resolve()
    return target if target.parent.is_dir() and (target.is_file() or not target.exists()) else None


def _replace(target: Path, text: str) -> None:
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        if target.exists():
            shutil.copymode(target, aside)
        aside.replace(target)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
