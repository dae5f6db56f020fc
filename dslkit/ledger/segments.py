"""Sealed segments on their way into parts and archives: which may be taken in, and what their heads say."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dslkit.ledger import schema
from dslkit.ledger.folder import NEW, OPEN, SEALED, lock_now, sync_files, sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from dslkit.ledger.folder import Folder
    from dslkit.ledger.manifest import Manifest

UNBORN_SECONDS = 3600.0  # a ``.new`` file this old was left by a process that died within its first millisecond


@dataclass(frozen=True, slots=True)
class Head:
    """The first line of a segment; all defaults where it is damaged."""

    schema: int = 1
    carried: tuple[tuple[str, int], ...] = ()


def read_head(path: Path) -> Head:
    """The head of a segment, plain or gzipped; FileNotFoundError if it is gone."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            values: dict[str, Any] = json.loads(file.readline())
        return Head(int(values["schema"]), tuple((str(key), int(attempt)) for key, attempt in values["carried"]))
    except (ValueError, KeyError, TypeError, EOFError, gzip.BadGzipFile):
        return Head()


def successor(name: str) -> str:
    """The id of the segment that the same writer began next."""
    writer, _, sequence = name.rpartition("-")
    return f"{writer}-{int(sequence) + 1:06d}" if sequence.isdigit() else ""


def seal_orphans(folder: Folder) -> list[str]:
    """Seal the segments whose writers are dead, and clear away what they never finished to create."""
    sealed = [name for name, path in folder.segments().items() if path.suffix == OPEN and _seal_if_dead(path)]
    for path in folder.journal.glob(f"*{NEW}"):
        _clear_if_unborn(path)
    return sealed


def _seal_if_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not lock_now(descriptor):
            return False
        # Its last lines may be in the page cache only; the archive that will replace it is synced.
        path.rename(path.with_suffix(SEALED))
    except OSError:
        return False  # sealed by its writer in this very moment, or locks fail here: then nobody is declared dead
    finally:
        os.close(descriptor)
    return True


def _clear_if_unborn(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if time.time() - path.stat().st_mtime < UNBORN_SECONDS:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if lock_now(descriptor):
                path.unlink()
        finally:
            os.close(descriptor)


def ready(folder: Folder, manifest: Manifest) -> dict[str, Path]:
    """Sealed segments that no part holds, each after all earlier ones of its writer; not those of a newer dslkit."""
    chosen: dict[str, Path] = {}
    stopped: set[str] = set()
    for name, path in folder.segments().items():  # in order of writer and sequence
        writer = name.rpartition("-")[0]
        if name in manifest.taken or folder.archived(name).exists() or writer in stopped:
            continue
        if path.suffix != SEALED or read_head(path).schema > schema.VERSION:
            stopped.add(writer)
        else:
            chosen[name] = path
    return chosen


def batches(paths: dict[str, Path], most_bytes: int) -> Iterator[dict[str, Path]]:
    """Cut the segments, in order, into batches that fit in memory."""
    batch: dict[str, Path] = {}
    size = 0
    for name, path in paths.items():
        size += path.stat().st_size
        batch[name] = path
        if size >= most_bytes:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def moved_on(folder: Folder, batch: dict[str, Path]) -> set[tuple[str, int]]:
    """The open calls that a later segment, not in the batch, has taken over."""
    later = {successor(name) for name in batch} - batch.keys()
    return {key for name in later for key in _head_anywhere(folder, name).carried}


def _head_anywhere(folder: Folder, name: str) -> Head:
    """The head of a segment that may go from one place to the next at this very moment, if there is such a segment."""
    for place in (folder.journal / (name + OPEN), folder.journal / (name + SEALED), folder.archived(name)):
        with contextlib.suppress(FileNotFoundError):
            return read_head(place)
    return Head()


def archive(folder: Folder, taken: Collection[str]) -> list[str]:
    """Gzip taken segments and remove them from the journal; return the ids that have left it."""
    segments = folder.segments()
    asides = {
        folder.archived(name): _gzip(path, folder.archived(name)) for name, path in segments.items() if name in taken
    }
    sync_files(asides.values())  # complete and durable before they have their names
    for target, aside in asides.items():
        aside.replace(target)
    sync_folder(folder.archive)
    for name, path in segments.items():
        if path.suffix == SEALED and folder.archived(name).exists():  # also one that came back from a backup
            path.unlink()
    return sorted(taken)


def _gzip(path: Path, target: Path) -> Path:
    """A packed copy aside.  Without a time stamp: equal in, equal out."""
    aside = target.with_name(f".{target.name}")
    with path.open("rb") as plain, aside.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
        shutil.copyfileobj(plain, packed, 1 << 18)
    return aside


def is_readable(path: Path) -> bool:
    """Whether a gzipped file can be read to its end, where its checksum is."""
    try:
        with gzip.open(path) as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True
