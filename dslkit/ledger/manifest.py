"""The manifest: which parts count, and which segments they hold.  A segment is in it or it is not.

It is one small JSON file, replaced by rename, with a checksum and a copy beside it that is written first: whichever
of the two survives an accident is the present state or the one about to be.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from dslkit.errors import LedgerError
from dslkit.ledger.folder import unreadable, write_whole
from dslkit.ledger.schema import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from dslkit.ledger.folder import Folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One immutable Parquet file; ``sums`` and ``content`` (a checksum of its rows) are what ``verify`` holds it to."""

    file: str
    kind: str
    month: str
    rows: int
    bytes: int
    sha256: str
    content: str
    sums: dict[str, str | None]
    schema: int = VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """A file that no longer counts, kept until readers under way are done with it.  ``at`` in seconds since 1970."""

    file: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The state of a ledger apart from segments not yet taken in.

    ``taken`` are the segments whose records are in parts (a segment leaves it when its file has left the journal);
    ``skipped`` counts the torn lines passed over in a segment.
    """

    generation: int = 0
    schema: int = VERSION
    parts: tuple[Part, ...] = ()
    taken: frozenset[str] = frozenset()
    replaced: tuple[Replaced, ...] = ()
    pruned_before: str | None = None
    skipped: dict[str, int] = field(default_factory=dict)

    def of(self, kind: str) -> list[Part]:
        """The parts of a kind, in order."""
        return [part for part in self.parts if part.kind == kind]


def read_manifest(folder: Folder) -> Manifest:
    """The present manifest; an empty one where there is no ledger yet.

    Raises:
        LedgerError: both copies are gone or damaged though there are parts, or it is of a newer version.
    """
    for path in (folder.manifest, folder.manifest_copy):
        found = _read(path)
        if found is not None:
            return found
    if _has_any(folder.parts, "*.parquet") or _has_any(folder.archive, "*.gz") or folder.manifest.exists():
        raise LedgerError(
            f"The manifest in {folder.root} is gone or damaged, so what counts cannot be told. "
            "Run `dslkit ledger rebuild`: it makes all parts again from the archived segments."
        )
    return Manifest()


def write_manifest(folder: Folder, manifest: Manifest) -> None:
    """Make it the present one, durably."""
    values = asdict(manifest)
    values["taken"] = sorted(manifest.taken)
    values["schema"] = VERSION
    text = json.dumps(values, separators=(",", ":"), sort_keys=True)
    content = json.dumps({"sha256": _checksum(text), "manifest": text}).encode()
    write_whole(folder.manifest_copy, content)
    write_whole(folder.manifest, content)


def is_whole(path: Path) -> bool:
    """Whether a copy of the manifest is there and undamaged."""
    return _read(path) is not None


def _read(path: Path) -> Manifest | None:
    try:
        outer = json.loads(path.read_bytes())
        text = outer["manifest"]
        if outer["sha256"] != _checksum(text):
            return None
        values = json.loads(text)
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    except OSError as error:
        raise unreadable(path.parent, error) from error
    if values["schema"] > VERSION:
        raise LedgerError(
            f"This ledger has schema version {values['schema']}; this dslkit knows up to {VERSION}: update it."
        )
    return _from_json(values)


def _from_json(values: dict[str, Any]) -> Manifest:
    parts = tuple(Part(**part) for part in values.pop("parts"))
    replaced = tuple(Replaced(**one) for one in values.pop("replaced"))
    return Manifest(**{**values, "parts": parts, "replaced": replaced, "taken": frozenset(values["taken"])})


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _has_any(folder: Path, pattern: str) -> bool:
    return any(not path.name.startswith(".") for path in folder.glob(pattern))
