"""HTML for notebooks and widgets, in the colours of the theme around it (JupyterLab's variables, else the system's).

Everything that came from a prompt or a model is escaped: markup is only what was written here as ``Markup``.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dslkit.records import Finding

VERDICTS = {
    "working": ("✓ working", "good"),
    "clean": ("○ clean", "fair"),
    "errors": ("✕ errors", "bad"),
    "failed": ("✕ failed", "bad"),
}
_SEVERITIES = {"error": ("✕ error", "bad"), "warning": ("! warning", "fair"), "note": ("note", "quiet")}


@dataclass(frozen=True, slots=True)
class Shown:
    """A piece of HTML that a notebook displays, with the plain text for where HTML is not."""

    html: Markup
    text: str

    def _repr_mimebundle_(self, **_options: object) -> dict[str, str]:
        return {"text/html": framed(self.html), "text/plain": self.text}


def framed(html: Markup) -> Markup:
    """The HTML with its stylesheet, so that it stands alone in any output cell."""
    return Markup('<div class="dslkit">{style}{html}</div>').format(style=style(), html=html)


def style() -> Markup:
    """The stylesheet as an element."""
    text = resources.files("dslkit.widgets").joinpath("widgets.css").read_text(encoding="utf-8")
    return Markup("<style>{}</style>").format(Markup(text))  # noqa: S704 - a file of ours


def table(titles: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: frozenset[str] = frozenset()) -> Markup:
    """A table; columns named in ``numbers`` are set to the right.  Cells are escaped unless they are Markup."""
    kinds = ["number" if title in numbers else "text" for title in titles]
    head = _join(
        Markup('<th scope="col" class="{}">{}</th>').format(kind, title)
        for kind, title in zip(kinds, titles, strict=True)
    )
    body = _join(
        Markup("<tr>{}</tr>").format(
            _join(Markup('<td class="{}">{}</td>').format(kind, cell) for kind, cell in zip(kinds, row, strict=True))
        )
        for row in rows
    )
    return Markup(
        '<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    ).format(head=head, body=body)


def verdict(name: str) -> Markup:
    """A verdict in its colour."""
    text, tone = VERDICTS.get(name, (name, "quiet"))
    return Markup('<span class="{}">{}</span>').format(tone, text)


def findings(found: Sequence[Finding]) -> Markup:
    """Findings as a list, each with its remedy; one sentence when there are none."""
    if not found:
        return Markup('<p class="good">✓ No findings: the checks have nothing to object to.</p>')
    return Markup("<ul>{}</ul>").format(_join(_finding(each) for each in found))


def download(name: str, text: str, label: str) -> Markup:
    """A link that saves the text as a file; it carries the text itself, so that nothing is fetched."""
    address = f"data:application/octet-stream;base64,{base64.b64encode(text.encode()).decode()}"
    return Markup('<a class="download" download="{}" href="{}">{}</a>').format(name, address, label)


def picture(svg: str, label: str) -> Markup:
    """An SVG drawing as it is, under a name for those who cannot see it."""
    drawn = Markup(svg)  # noqa: S704 - drawn by dify.draw, which escapes
    return Markup('<figure role="img" aria-label="{}" tabindex="0">{}</figure>').format(label, drawn)


def bars(rows: Sequence[tuple[str, float, str, str]], *, label: str, whole: float | None = None) -> Markup:
    """A bar chart: name, length, tone and text of each; in HTML, so that it follows the width and the theme.

    A bar of the length ``whole`` fills the width; without it the longest does.
    """
    longest = whole or max((length for _, length, _, _ in rows), default=0) or 1
    lines = _join(
        Markup('<li><span>{}</span><i class="{}" style="--share:{:.4f}"></i><b>{}</b></li>').format(
            name, tone, length / longest, text
        )
        for name, length, tone, text in rows
    )
    return Markup('<ol class="bars" aria-label="{}">{}</ol>').format(label, lines)


def columns(heights: Sequence[float], *, label: str, whole: float) -> Markup:
    """A chart of upright columns; one of the height ``whole`` fills it."""
    each = Markup('<i style="--share:{:.4f}"></i>')
    drawn = _join(each.format(min(height / whole, 1.0)) for height in heights)
    return Markup('<div class="columns" role="img" aria-label="{}">{}</div>').format(label, drawn)


def figures(named: Sequence[tuple[str, object, str]]) -> Markup:
    """Key figures side by side: what it is, its value, and what to know with it."""
    each = Markup("<div><span>{}</span><b>{}</b><span>{}</span></div>")
    return Markup('<div class="figures">{}</div>').format(_join(each.format(*figure) for figure in named))


def said(messages: Sequence[str]) -> Markup:
    """The rounds of a conversation, in order."""
    each = Markup('<li dir="auto">{}</li>')
    return Markup('<ol class="said">{}</ol>').format(_join(each.format(message) for message in messages))


def working(elapsed_s: float) -> Markup:
    """That work is under way, and for how long already."""
    return Markup('<span class="working" role="status">Generating, {:.0f} s</span>').format(elapsed_s)


def notice(text: str, tone: str = "quiet") -> Markup:
    """A sentence that stands out."""
    return Markup('<p class="notice {}">{}</p>').format(tone, text)


def _finding(finding: Finding) -> Markup:
    text, tone = _SEVERITIES[finding.severity]
    where = Markup(" <code>{}</code>").format(finding.node) if finding.node else Markup("")
    remedy = Markup('<br><span class="quiet">{}</span>').format(finding.remedy) if finding.remedy else Markup("")
    head = Markup('<li><span class="{}">{}</span>{} ').format(tone, text, where)
    return head + escape(finding.message) + remedy + Markup("</li>")


def _join(parts: Iterable[Markup]) -> Markup:
    return Markup("").join(parts)
