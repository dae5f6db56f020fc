"""Tables, charts and notes as HTML.  Everything is escaped by Jinja unless it is our own `Markup`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Tone = Literal["good", "fair", "bad", "quiet", ""]

LONGEST_TEXT = 120
_TURNING = frozenset({"R", "AL", "AN", "RLE", "RLO", "RLI", "LRO"})  # classes of Unicode's bidirectional algorithm
MOST_ABREAST = 3  # columns on a phone


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell: its text, its tone, a bar of this length (0 to 1), and a second, smaller line."""

    text: str
    tone: Tone = ""
    bar: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading; numbers are set to the right, ``wraps`` is for sentences."""

    title: str
    number: bool = True
    wraps: bool = False

    @property
    def label(self) -> str:
        """The title as it may stand in a style: nothing in it can end a CSS string."""
        return re.sub(r"[^\w\s,.%()–-]", "", self.title)


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a caption.  The first cell of a row is its heading."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    total: Sequence[Cell] = ()

    @property
    def stacks(self) -> bool:
        """Whether a narrow page shows each row as lines of its own: with more columns than fit side by side."""
        return len(self.columns) > MOST_ABREAST


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart: its SVG for a wide and a narrow page, what it shows in words, its numbers where no table follows."""

    caption: str
    wide: Markup
    narrow: Markup
    alt: str
    numbers: Table | None = None
    legend: Sequence[str] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A key figure: what it is, its value, what to know with it, and how it changed."""

    label: str
    value: str
    notes: Sequence[str] = field(default_factory=tuple)
    tone: Tone = ""
    change: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the report; Jupyter shows it as HTML."""

    html: Markup

    def __add__(self, other: Block) -> Block:
        return block([self.html, other.html])

    def _repr_html_(self) -> str:
        return f'<div class="dslkit-report">{self.html}</div>' if self.html else ""


def render(template: str, **context: Any) -> Markup:
    """One of the package's templates, filled."""
    return Markup(_environment().get_template(f"{template}.html.j2").render(**context))  # noqa: S704 - autoescaped


def block(parts: Iterable[Markup]) -> Block:
    """Several pieces as one."""
    return Block(Markup("\n").join(part for part in parts if part))


def table(content: Table) -> Markup:
    """A table, or nothing where there are no rows."""
    return render("table", table=content) if content.rows else Markup("")


def picture(content: Picture) -> Markup:
    """A chart with its alternative text and its numbers."""
    return render("picture", picture=content)


def sentence(text: str) -> Markup:
    """A paragraph."""
    return Markup("<p>{}</p>").format(text)


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """At most this many characters on one line; what is cut shows as an ellipsis in the middle.

    What runs from right to left is isolated, so that it leaves the words around it in their order.
    """
    text = " ".join(text.split())
    if len(text) > longest:
        head = longest * 2 // 3
        text = f"{text[:head].rstrip()}…{text[-(longest - head - 1) :].lstrip()}"
    return f"\u2068{text}\u2069" if any(unicodedata.bidirectional(one) in _TURNING for one in text) else text


def stylesheet() -> str:
    """The report's CSS."""
    loader = _environment().loader
    assert loader is not None
    return loader.get_source(_environment(), "report.css")[0]


def style_element() -> Markup:
    """The stylesheet as an element, for a notebook's output."""
    return Markup("<style>{}</style>").format(Markup(stylesheet()))  # noqa: S704 - our own file


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dslkit.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
