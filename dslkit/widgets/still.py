"""Widgets that leave a still picture where no kernel is: in a saved notebook that is opened again, or exported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as w
from IPython.display import display
from markupsafe import Markup

from dslkit.widgets import markup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from IPython.display import DisplayHandle


class LiveBox(w.VBox):  # type: ignore[misc]  # ipywidgets ships no types
    """A box that is shown twice: its still, and itself.

    JupyterLab prefers a widget to all else in an output, and says "model not found" where the kernel has gone.  So the
    still is an output of its own; a stylesheet in it hides whichever of the two has nothing to show.
    """

    what = "A widget"
    _still: DisplayHandle | None = None

    def __init__(self, children: list[w.Widget]) -> None:
        super().__init__(children, layout={"max_width": "62rem"})
        self.add_class("dslkit-live")

    def still(self) -> Markup:
        """What to show without a kernel."""
        raise NotImplementedError

    def bundles(self) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The two outputs, by MIME type: the still, and the widget."""
        words = f"{self.what}: run this cell in JupyterLab."
        still = Markup('<div class="dslkit-still">{}</div>').format(self.still())
        live: dict[str, Any] = dict(super()._repr_mimebundle_() or {})
        return {"text/html": markup.framed(still), "text/plain": words}, {**live, "text/plain": words}

    def renew_still(self) -> None:
        """Make the still show what the widget shows now."""
        if self._still is not None:
            self._still.update(self.bundles()[0], raw=True)  # type: ignore[no-untyped-call]  # IPython is typed in parts

    def _ipython_display_(self) -> None:
        still, live = self.bundles()
        self._still = display(still, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        display(live, raw=True)  # type: ignore[no-untyped-call]
