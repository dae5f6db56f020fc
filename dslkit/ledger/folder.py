"""Where the ledger's files lie, and how they are made durable.

home/ledger.duckdb          views only, for other tools; may be thrown away
home/ledger/manifest.json   which parts count and which segments they hold; a copy beside it
home/ledger/journal/        segments: ``.new`` (being made), ``.open`` (locked by its writer), ``.jsonl`` (sealed)
home/ledger/parts/          immutable Parquet files
home/ledger/archive/        segments that parts hold, gzipped: enough to make all parts again
home/ledger/live/           links to the parts that count, for the views
"""

from __future__ import annotations

import fcntl
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dslkit.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Collection

NEW, OPEN, SEALED, ARCHIVED = ".new", ".open", ".jsonl", ".jsonl.gz"
_AT_ONCE = 16  # what takes time is the disk, which makes many files durable as quickly as one
_MANY = 64
MOUNTS = Path("/proc/self/mounts")
_NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "lustre", "glusterfs", "afs", "fuse.glusterfs"}
)
_WINDOWS = "The ledger needs Linux or macOS (on Windows: WSL): it rests on flock and on renaming open files."


@dataclass(frozen=True, slots=True)
class Folder:
    """The paths of one ledger."""

    home: Path

    @property
    def root(self) -> Path:
        """Everything but the views."""
        return self.home / "ledger"

    @property
    def journal(self) -> Path:
        """Segments not archived yet."""
        return self.root / "journal"

    @property
    def parts(self) -> Path:
        """Parquet files."""
        return self.root / "parts"

    @property
    def archive(self) -> Path:
        """Gzipped segments."""
        return self.root / "archive"

    @property
    def manifest(self) -> Path:
        """The present state."""
        return self.root / "manifest.json"

    @property
    def manifest_copy(self) -> Path:
        """The same, written first."""
        return self.root / "manifest.copy.json"

    @property
    def live(self) -> Path:
        """A link to links to the parts that count, for ``ledger.duckdb``."""
        return self.root / "live"

    @property
    def lock(self) -> Path:
        """Held by whoever compacts, rebuilds or prunes."""
        return self.root / "upkeep.lock"

    @property
    def views(self) -> Path:
        """For other tools; holds no row."""
        return self.home / "ledger.duckdb"

    def create(self) -> None:
        """Make the folders; raise LedgerError where that, or locking, cannot work."""
        if sys.platform == "win32":
            raise LedgerError(_WINDOWS)
        try:
            for folder in (self.journal, self.parts, self.archive):
                folder.mkdir(parents=True, exist_ok=True)
            _prove_locks(self.root / "locks.probe")
        except OSError as error:
            raise LedgerError(
                f"The ledger in {self.root} cannot be written ({error.strerror}). "
                "Name a writable folder on a local disk with DSLKIT_HOME."
            ) from error

    def archived(self, segment: str) -> Path:
        """Where a segment is archived.  It is only once parts hold its records."""
        return self.archive / (segment + ARCHIVED)

    def segments(self) -> dict[str, Path]:
        """Segments that hold records, by id: open and sealed ones.  Empty when there is no ledger."""
        return _listed(self.journal, (OPEN, SEALED))

    def archives(self) -> dict[str, Path]:
        """Archived segments, by id."""
        return _listed(self.archive, (ARCHIVED,))


def _listed(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The segments of a folder in order of writer and sequence, which is that of their names.

    Listing a large folder takes several looks, and a file renamed between two of them may be seen under neither of its
    names.  A segment changes its name once, so listing twice misses none.
    """
    try:
        names = {*os.listdir(folder), *os.listdir(folder)}  # noqa: PTH208 - ten thousand names need no Path objects
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unreadable(folder.parent, error) from error
    names -= {name.removesuffix(SEALED) + OPEN for name in names if name.endswith(SEALED)}
    split = (name.partition(".") for name in sorted(names))
    return {stem: folder / (stem + dot + end) for stem, dot, end in split if dot + end in suffixes and "-" in stem}


def unreadable(root: Path, error: OSError) -> LedgerError:
    """What to say of a ledger whose files cannot be looked at."""
    return LedgerError(
        f"The ledger in {root} cannot be read ({error.strerror}). Name a folder that can be read with DSLKIT_HOME."
    )


def lock_now(descriptor: int) -> bool:
    """Take the exclusive lock of an open file if it is free.  It is held until the last copy of it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether somebody holds the file's lock, i.e. lives.  When that cannot be told: yes, nobody is declared dead."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _prove_locks(path: Path) -> None:
    """Some network filesystems grant every lock: there, two compactors would corrupt each other without a sign."""
    path = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    first = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    second = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        works = lock_now(first) and not lock_now(second)
    except OSError:
        works = False
    finally:
        os.close(second)
        os.close(first)
        path.unlink(missing_ok=True)
    if not works:
        raise LedgerError(
            f"File locks do not work in {path.parent} (a network filesystem?). "
            "Name a folder on a local disk with DSLKIT_HOME."
        )


def resolved(home: Path) -> Path:
    """Where a path leads; a circle of links stays as it is (``Path.resolve`` raises before Python 3.13)."""
    return Path(os.path.realpath(home))


def network_filesystem(path: Path) -> str | None:
    """The kind of network filesystem that a folder lies on; None for a local one, or where that cannot be told."""
    try:
        mounts = [line.split() for line in MOUNTS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return None
    above = [(len(where), kind) for _, where, kind, *_ in mounts if path.resolve().is_relative_to(where)]
    kind = max(above, default=(0, ""))[1]
    return kind if kind in _NETWORK or kind.startswith("fuse.ssh") else None


def sync_data(descriptor: int) -> None:
    """Return when the file's bytes are on the disk itself (macOS: past the drive's cache, too)."""
    if sys.platform == "darwin":
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def sync_files(paths: Collection[Path]) -> None:
    """Make many files durable.  Each sync of one waits for the disk; after a sync of all there is little left to do."""
    if len(paths) > _MANY and sys.platform == "linux":
        os.sync()  # alone it is not enough: it does not tell of errors
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(sync_file, paths))


def sync_file(path: Path) -> None:
    """Make what was written to a closed file durable."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        sync_data(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make new and renamed names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place whole or not at all, durably."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            sync_data(file.fileno())
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)
