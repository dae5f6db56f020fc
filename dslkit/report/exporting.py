"""An executed notebook as one HTML file: what its cells show and say, without code, scripts or network."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

import nbformat
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from dslkit.report.markup import style_element, stylesheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nbformat import NotebookNode

ASIDE = "aside"  # a cell for those who read the notebook itself

_nbconvert: Any = TemplateExporter  # which has no types
_TEMPLATES = Path(__file__).parent / "templates"


def export(notebook: str | Path, output: str | Path, *, title: str) -> Path:
    """Export an executed notebook with the report's template: its markdown and the HTML that its cells show.

    Left out are cells tagged ``aside``, and the markdown before a cell that shows nothing.

    HTML outputs are taken as they are: they must come from this package, which escapes what it did not write itself.
    """
    content = nbformat.read(Path(notebook), as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    facts = {
        "title": title,
        "stylesheet": stylesheet(),
        "version": version("dslkit"),
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
    }
    content.cells = list(_told(content.cells))
    html, _ = _exporter().from_notebook_node(content, resources={"report": facts})
    return _replace(Path(output), html)


def _told(cells: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    """The cells that the page has something of."""
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        announced = following if following is not None and following.cell_type == "code" else None
        if ASIDE in cell.metadata.get("tags", ()) or (cell.cell_type == "code" and not _shown(cell)):
            continue
        if cell.cell_type == "markdown" and announced is not None and not _shown(announced):
            continue
        yield cell


def _shown(cell: NotebookNode) -> str:
    """The HTML that a code cell shows."""
    return "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)


def _exporter() -> TemplateExporter:
    config = Config({"TemplateExporter": {"extra_template_basedirs": [str(_TEMPLATES)], "template_name": "page"}})
    filters = {"without_stylesheet": _without_stylesheet, "prose": _prose}
    exporter: TemplateExporter = _nbconvert(config=config, template_extension=".html.j2", filters=filters)
    return exporter


def _without_stylesheet(html: str) -> str:
    """An output without the stylesheet that Jupyter needs; the page has it in its head."""
    return html.replace(style_element(), "", 1)


def _prose(markdown: str) -> str:
    """A markdown cell as HTML; tags in it show as text."""
    renderer = IPythonRenderer(escape=True, exclude_anchor_links=True)
    return str(MarkdownWithMath(renderer=renderer).render(markdown))


def _replace(output: Path, text: str) -> Path:
    """Write aside, then rename."""
    output.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = mkstemp(dir=output.parent, prefix=f".{output.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(aside).chmod(0o644)
        Path(aside).replace(output)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    return output
