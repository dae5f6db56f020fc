"""A form that generates one workflow by clicks: ask, look at the picture, ask for changes, download."""

from __future__ import annotations

import asyncio
import os
import re
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

import ipywidgets as w
from markupsafe import Markup

from dslkit.notebooks.secrets import without_secrets
from dslkit.records import Mode, Requirement
from dslkit.report import formats
from dslkit.settings import OFFLINE_MODEL, load_settings
from dslkit.widgets import markup, show
from dslkit.widgets.still import LiveBox

if TYPE_CHECKING:
    from dslkit.records import Item

EXAMPLE = (
    "Build a workflow that answers customer feedback. Input is the text of the feedback (variable feedback). "
    "Sort it into praise, complaint or question with a question classifier, and let a language model draft "
    "a fitting answer for each of the three cases. Output the answer (variable answer)."
)
MODELS = (OFFLINE_MODEL, "gpt-4o-mini", "gpt-4o")
_MODES = (
    ("simple: one call", "simple"),
    ("rag: shown similar patterns", "rag"),
    ("multi_agent: four agents", "multi_agent"),
)
_TICK_S = 0.5
_WIDE = {"width": "auto"}  # stretches; 100 % would stand over by its margins
_NARROWED = {"max_width": "98%"}  # of a notebook narrower than a field, less the field's margins


class GeneratorForm(LiveBox):
    """Requirement, mode and model in; picture, findings, cost and a download out.  Each further request is a round.

    ``workflow`` and ``item`` are the last result, for use in the next cell; None before there is one.  ``key`` is the
    provider's: should a message repeat it, it is blacked out.
    """

    what = "A form"

    def __init__(self, requirement: str, mode: Mode, model: str, *, key: str = "") -> None:
        self._key = key
        self.workflow: Any = None
        self.item: Item | None = None
        self._said: list[str] = []
        self._task: asyncio.Task[None] | None = None
        self._made = Markup("")
        self._ask = w.Textarea(value=requirement, placeholder="What should the workflow do?", rows=5, layout=_WIDE)
        self._mode = w.Dropdown(options=_MODES, value=mode, description="Mode", layout=_NARROWED)
        self._model = w.Combobox(
            value=model, options=MODELS, ensure_option=False, description="Model", layout=_NARROWED
        )
        self._go = w.Button(
            description="Generate", button_style="primary", icon="play", tooltip="Generate the workflow"
        )
        self._anew = w.Button(disabled=True)
        self._state = w.HTML()
        self._result = w.HTML(layout=_WIDE)
        self._go.on_click(self._clicked)
        self._anew.on_click(self._restarted)
        choices = w.HBox([self._mode, self._model], layout=w.Layout(flex_flow="row wrap"))
        buttons = w.HBox(
            [self._go, self._anew, self._state], layout=w.Layout(flex_flow="row wrap", align_items="center")
        )
        super().__init__([self._ask, choices, buttons, self._result])
        self.add_class("dslkit-form")
        self._busy(busy=False)

    def still(self) -> Markup:
        """The fields, and what was made last."""
        note = markup.notice("A still picture of a form. Open the notebook in JupyterLab and run this cell to use it.")
        asked = (self._ask.value, self._mode.value, self._model.value)
        fields = markup.table(("Requirement", "Mode", "Model"), [asked]) if self._ask.value else Markup("")
        return note + fields + self._made

    def _clicked(self, _button: w.Button) -> None:
        """Start one generation; the task is kept, or the event loop might drop it half-way."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self.generate())

    def _restarted(self, _button: w.Button) -> None:
        """Stop what is under way, or else forget the rounds so far."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            return
        self._said, self.workflow, self.item, self._made = [], None, None, Markup("")
        self._ask.value, self._result.value = EXAMPLE, ""
        self._ask.placeholder, self._go.description = "What should the workflow do?", "Generate"
        self._busy(busy=False)

    async def generate(self) -> None:
        """What the button does: generate from what is in the form; every error is shown in the form."""
        request = self._ask.value.strip()
        if not request:
            self._tell(
                "Say first what should change." if self._said else "Say first what the workflow should do.", "fair"
            )
            return
        self._busy(busy=True)
        self._result.value = markup.framed(self._made)  # what was said of an earlier try is over
        ticking = asyncio.ensure_future(self._tick())
        try:
            await self._generate((*self._said, request))
        except asyncio.CancelledError:
            self._tell(
                "Stopped. Generate again: what the model has answered so far is not asked, or paid, twice.", "fair"
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, the form says it
            self._tell(self._explained(error), "bad")
        finally:
            ticking.cancel()
            self._busy(busy=False)
            self.renew_still()

    async def _generate(self, messages: tuple[str, ...]) -> None:
        batch = await asyncio.to_thread(import_module, "dslkit.batch")
        requirement = Requirement(id=_name(messages[0]), messages=messages)
        made = await batch.generate(requirement, model=self._model.value.strip(), mode=self._mode.value)
        self.item = made.item
        self.workflow = made.workflow
        self._said = list(messages)
        self._made = await asyncio.to_thread(self._drawn, made.item)
        self._result.value = markup.framed(self._made)
        self._ask.value, self._ask.placeholder = "", "What should change? Or download the file below."
        self._go.description = "Change it"

    def _tell(self, text: str, tone: str) -> None:
        """Say something above what was made before, which stays."""
        self._result.value = markup.framed(markup.notice(text, tone) + self._made)

    def _drawn(self, item: Item) -> Markup:
        spent = show.spent(item.run_id, item.item_id)
        took = (item.ended_at - item.started_at).total_seconds()
        figures = (
            ("Verdict", markup.verdict(item.verdict), show.ran(item)),
            (
                "Cost",
                formats.usd(spent.cost_usd),
                f"{formats.plural(spent.calls, 'call')}, {formats.count(spent.tokens)} tokens",
            ),
            ("Took", formats.seconds(took), f"{item.model}, {item.mode}"),
        )
        file = markup.download(f"{item.item_id}.yml", self.workflow.yaml, f"Download {item.item_id}.yml for Dify")
        parts = (
            markup.said(self._said),
            markup.figures(figures),
            markup.picture(self.workflow._repr_svg_(), f"Picture of the workflow {item.item_id}"),
            markup.findings(item.findings),
            Markup("<p>{}</p>").format(file),
        )
        return Markup("").join(parts)

    def _explained(self, error: Exception) -> str:
        return without_secrets(f"{type(error).__name__}: {error}", {**os.environ, "OPENAI_API_KEY": self._key})

    def _busy(self, *, busy: bool) -> None:
        for field in (self._ask, self._mode, self._model, self._go):
            field.disabled = busy
        self._anew.disabled = not busy and not self._said
        if busy:
            self._anew.description, self._anew.icon, self._anew.tooltip = "Stop", "stop", "Stop generating"
        else:
            self._anew.description, self._anew.icon, self._anew.tooltip = (
                "Start anew",
                "undo",
                "Forget the rounds so far",
            )
        self._state.value = ""

    async def _tick(self) -> None:
        """Say that work is under way, and since when."""
        began = time.monotonic()
        while True:
            self._state.value = markup.framed(markup.working(time.monotonic() - began))
            await asyncio.sleep(_TICK_S)


def generator_form(requirement: str = EXAMPLE, *, mode: Mode = "simple", model: str | None = None) -> GeneratorForm:
    """The form; ``model`` is the DSLKIT_MODEL setting by default.

    Raises:
        ValueError: there is no such mode.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"mode must be one of {', '.join(get_args(Mode))}, not {mode!r}")
    settings = load_settings()
    key = settings.openai_api_key
    return GeneratorForm(requirement, mode, model or settings.model, key=key.get_secret_value() if key else "")


def _name(request: str) -> str:
    """A file's name from the first words of a request."""
    words = re.findall(r"[a-z0-9]+", request.lower())
    return "_".join(words[:6]) or "workflow"
