"""A progress bar on standard error, fed by the batch itself or by what its run has put into the ledger so far."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dslkit.cli.items import verdicts_so_far

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from dslkit.ledger import Ledger
    from dslkit.records import Item

_LOOK_EVERY_S = 0.5
_VERDICTS = ("working", "clean", "errors", "failed")


class Bar:
    """``12/60 working 11 errors 1``, redrawn on a terminal, nothing where there is none."""

    def __init__(self, total: int) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[verdicts]}"), TimeElapsedColumn())
        console = Console(file=sys.stderr)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=total, verdicts="")
        self._counts: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def count(self, item: Item) -> None:
        """One more item is done."""
        self.show({**self._counts, item.verdict: self._counts.get(item.verdict, 0) + 1})

    def show(self, counts: Mapping[str, int]) -> None:
        """So many items are done, by verdict."""
        self._counts = dict(counts)
        verdicts = " ".join(f"{name} {counts[name]}" for name in _VERDICTS if counts.get(name))
        self._progress.update(self._task, completed=sum(counts.values()), verdicts=verdicts)


@contextmanager
def watching(ledger: Ledger, bar: Bar) -> Iterator[None]:
    """Meanwhile look into the ledger for what the run of this process has done.  Not where nobody would see it."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(ledger, bar, over), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _watch(ledger: Ledger, bar: Bar, over: threading.Event) -> None:
    while not over.wait(_LOOK_EVERY_S):
        bar.show(verdicts_so_far(ledger))
