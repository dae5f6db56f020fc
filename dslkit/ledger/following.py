"""Records as they land: the journal's segments read on from where they were read to."""

from __future__ import annotations

import contextlib
import gzip
import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dslkit.ledger.folder import Folder

Kind = Literal["end", "run", "item"]


class Follower:
    """Each look gives what was recorded since the one before, in no particular order of processes.

    Args:
        folder: of the ledger.
        kinds: ``end`` of an attempt, ``run`` and ``item`` as they are written; each record names its kind in ``k``.

    What there is when it is made was before.  It reads only what is new, whatever the size of the ledger, and also what
    was written and taken into parts between two looks.
    """

    def __init__(self, folder: Folder, kinds: tuple[Kind, ...] = ("end",)) -> None:
        self._folder = folder
        self._begins = tuple(b'{"k":"%b",' % kind.encode() for kind in kinds)
        self._archived = set(folder.archives())
        self._read_to: dict[str, int] = {}
        for _ in self.look():
            pass

    def look(self) -> Iterator[dict[str, Any]]:
        """Records by column name; what is unknown is missing, money is a text."""
        segments = self._folder.segments()
        for name, path in segments.items():
            yield from self._on(name, path)
        archives = self._folder.archives()
        gone = archives.keys() - segments.keys()
        for name in sorted(gone - self._archived):
            yield from self._on(name, archives[name])
            self._read_to.pop(name, None)  # it has all been read, and its name does not come back
        self._archived = gone

    def _on(self, name: str, path: Path) -> Iterator[dict[str, Any]]:
        """The whole lines of a segment that have not been read; none while it is on its way to another name."""
        begin = self._read_to.get(name, 0)
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                file.seek(begin)
                fresh = file.read()
        except (OSError, EOFError):
            return
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._read_to[name] = begin + len(whole)
        for line in whole.splitlines():
            if line.startswith(self._begins):
                with contextlib.suppress(ValueError):  # torn
                    yield json.loads(line)
