"""A notebook file as plain JSON: where it is, what it says, which cell holds its parameters.

Read without nbformat, which takes longer to import than a wrong parameter should take to be told.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dslkit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PARAMETERS_TAG = "parameters"
FORMAT = 4
SUFFIX = ".ipynb"

_SHIPPED = Path(__file__).parent / "shipped"
_CHECKOUT = Path(__file__).parents[2] / "notebooks"


def find(name: str, *, data: bool = False) -> Path:
    """The path of a notebook or its data: a path that exists (also a folder), or the name of a file that ships here.

    ``generate_batch`` and ``generate_batch.ipynb`` are the same.  ``data`` says that no notebook is looked for.

    Raises:
        UsageError: there is no such file; lists those of its kind that ship.
    """
    wanted = Path(name)
    for candidate in (wanted, wanted.with_name(f"{wanted.name}{SUFFIX}")):
        if candidate.is_file():
            return candidate
    if wanted.parent == Path():
        ours = shipped(data=True) | shipped(data=False)
        for candidate_name in (name, f"{name}{SUFFIX}"):
            if candidate_name in ours:
                return ours[candidate_name]
    if wanted.is_dir():  # behind the names: a folder "benchmark" does not hide the notebook of that name
        return wanted
    offered = ", ".join(shipped(data=data))
    raise UsageError(
        f"No {'file' if data else 'notebook'} {name!r}: give the path of one, or the name of one of ours ({offered})."
    )


def shipped(*, data: bool) -> dict[str, Path]:
    """The notebooks that ship, or the data for them, by the names of their files."""
    files = {path.name: path for folder in (_CHECKOUT, _SHIPPED) for path in folder.glob("*") if path.is_file()}
    return {name: files[name] for name in sorted(files) if (files[name].suffix != SUFFIX) is data}


def load(path: Path) -> dict[str, Any]:
    """The notebook's JSON.

    Raises:
        UsageError: the file cannot be read, is no notebook, or not in notebook format 4.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError:
        raise UsageError(f"{path} is no notebook: it is not JSON in UTF-8.") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("nbformat"), int):
        raise UsageError(f"{path} is no notebook: it does not say its nbformat.")
    if notebook["nbformat"] > FORMAT:
        raise UsageError(
            f"{path} is in notebook format {notebook['nbformat']}: save it in format {FORMAT}, the latest known."
        )
    if notebook["nbformat"] < FORMAT:
        remedy = f"jupyter nbconvert --to notebook --nbformat 4 --output NEW.ipynb {path}"
        raise UsageError(
            f"{path} is in notebook format {notebook['nbformat']}, which has no cell tags. Convert it: {remedy}"
        )
    return notebook


def parameters_cell(notebook: Mapping[str, Any], name: str) -> str | None:
    """The source of the cell tagged ``parameters``; None when there is none.

    Raises:
        UsageError: there are two; only the first would count, so the second would be a trap.
    """
    tagged = [source_of(cell) for cell in notebook["cells"] if PARAMETERS_TAG in tags_of(cell)]
    if len(tagged) > 1:
        raise UsageError(f"{name} has {len(tagged)} cells tagged '{PARAMETERS_TAG}': keep the tag on one of them.")
    return tagged[0] if tagged else None


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """The cell's tags."""
    tags: Sequence[str] = cell.get("metadata", {}).get("tags", ())
    return tags


def source_of(cell: Mapping[str, Any]) -> str:
    """The cell's source; files may hold it as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def language_of(notebook: Mapping[str, Any]) -> str:
    """The notebook's language; Python where it does not say."""
    metadata = notebook.get("metadata", {})
    spelled = metadata.get("language_info", {}).get("name") or metadata.get("kernelspec", {}).get("language")
    return str(spelled or "python").lower()
