"""How far a batch is, on one line that updates in place: in JupyterLab, in a terminal's log, in the saved notebook."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from IPython.display import display

from dslkit.report import formats
from dslkit.widgets.markup import Shown, bars

if TYPE_CHECKING:
    from collections.abc import Callable

    from dslkit.records import Item

_INTERVAL_S = 0.25
_BAR = 24


class Progress:
    """Called with each item that is done, as ``generate_batch(progress=…)`` does; shows itself at once.

    Args:
        total: items there are.
        label: what they are, where one of several batches is told apart.
        now: a clock in seconds.
    """

    def __init__(self, total: int, *, label: str = "", now: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._label = f"{label}: " if label else ""
        self._now = now
        self._began = self._shown_at = now()
        self._verdicts: Counter[str] = Counter()
        self._handle = display(self._state(), display_id=True)  # type: ignore[no-untyped-call]  # IPython is typed in parts

    def __call__(self, item: Item) -> None:
        """Count an item; the line is drawn anew at most four times a second, and at the end."""
        self._verdicts[item.verdict] += 1
        now = self._now()
        if self._handle and (now - self._shown_at >= _INTERVAL_S or self._done == self._total):
            self._shown_at = now
            self._handle.update(self._state())

    @property
    def _done(self) -> int:
        return self._verdicts.total()

    def _state(self) -> Shown:
        share = self._done / self._total if self._total else 1.0
        elapsed = self._now() - self._began
        of_them = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self._verdicts.items()))
        told = f"{self._label}{self._done} of {self._total}" + (f" ({of_them})" if of_them else "")
        took = formats.seconds(elapsed) if share == 1.0 else self._remaining(elapsed)
        line = f"{'█' * round(share * _BAR):░<{_BAR}} {told}, {took}"
        return Shown(bars([(told, share, "", took)], label="progress", whole=1.0), line)

    def _remaining(self, elapsed: float) -> str:
        if not self._done:
            return "working"
        return f"{formats.seconds(elapsed / self._done * (self._total - self._done))} to go"
