"""An executed notebook as one HTML file: what its cells show and say, without code, scripts or network."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from typing import TYPE_CHECKING, Any

import nbformat
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from dslkit import notebooks
from dslkit.analysis import instant
from dslkit.errors import DslkitError, UsageError
from dslkit.ledger import Ledger
from dslkit.report.markup import style_element, stylesheet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nbformat import NotebookNode

ASIDE = "aside"  # a cell for those who read the notebook itself

_KNOWN_RUN = "SELECT 1 FROM runs WHERE run_id = $run UNION ALL SELECT 1 FROM calls WHERE run_id = $run LIMIT 1"

_nbconvert: Any = TemplateExporter  # which has no types
_TEMPLATES = Path(__file__).parent / "templates"


def write(
    ledger_home: str | Path,
    output: str | Path,
    *,
    run: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    title: str | None = None,
) -> Path:
    """Execute ``cost_report.ipynb`` over a ledger and export it as one HTML file, which appears whole or not at all.

    ``run`` narrows the report to one run, ``since`` and ``until`` (instants, ISO texts, or ages such as ``30d``) to a
    period.  Returns the path of the file.

    Raises:
        UsageError: a parameter cannot be read, there is no such run, or the file cannot be written there.
        DslkitError: the notebook failed; names the error of its cell.
    """
    if run and not Ledger(ledger_home).snapshot().execute(_KNOWN_RUN, {"run": run}).fetchone():
        raise UsageError(
            f"There is no run {run!r} in the ledger of {ledger_home}: `dslkit runs` lists those there are."
        )
    parameters: dict[str, object] = {"home": str(ledger_home)}
    given = {"run": run, "since": _readable(since), "until": _readable(until), "title": title}
    parameters |= {name: value for name, value in given.items() if value}
    return _written("cost_report", parameters, output, title=title or "Cost and latency report", home=ledger_home)


def write_comparison(
    ledger_home: str | Path, output: str | Path, first: str, second: str, *, title: str = "Comparison of two runs"
) -> Path:
    """Execute ``compare_runs.ipynb``: two run ids, or periods as ``2026-09-01..2026-09-15``; see `write`."""
    parameters = {"home": str(ledger_home), "first": first, "second": second, "title": title}
    return _written("compare_runs", parameters, output, title=title, home=ledger_home)


def _written(name: str, parameters: Mapping[str, object], output: str | Path, *, title: str, home: str | Path) -> Path:
    with TemporaryDirectory(prefix="dslkit-report-") as folder:
        executed = Path(folder) / f"{name}.ipynb"
        result = notebooks.run(notebooks.find(name), executed, parameters, home=home)
        if result.error_type == UsageError.__name__:
            raise UsageError(result.error_message)
        if result.status != "completed":
            raise DslkitError(f"The report's notebook failed: {result.error_type}: {result.error_message}")
        return export(executed, output, title=title)


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


def _readable(moment: datetime | str | None) -> str | None:
    """A parameter of the notebook; UsageError before a kernel starts when it could not be read there."""
    text = moment.isoformat() if isinstance(moment, datetime) else moment
    instant(text or "")
    return text
